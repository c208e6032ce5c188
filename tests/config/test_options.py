"""Options of the command line: how they are read, and what they may set."""

import pytest

from fastvit_dense.config.options import parse_options
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

MASK_RCNN = 'configs/maskrcnn_fastvit_t8.py'


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        ('model.backbone=FastViT', 'a dict'),
        ('model.backbone=[1,2]', 'a dict'),
        ('model.neck=3', 'a dict'),
        ('model=x', 'a dict'),
        ('train_cfg=3', 'a dict'),
        ('default_hooks.logger=x', 'a dict'),
        ('val_evaluator=x', 'a dict'),
        ('optim_wrapper.optimizer=SGD', 'a dict'),
        ('train_dataloader.dataset=x', 'a dict'),
        # not in the config: by the annotation of the type, or of mmengine's Runner
        ('train_dataloader.dataset.metainfo=x', 'a dict'),
        ('model.init_cfg=3', 'a dict'),
        ('env_cfg=3', 'a dict'),
        ('train_dataloader.dataset.pipeline=x', 'a list of dicts'),
        ('param_scheduler=fast', 'a list of dicts'),
        ('custom_hooks=[a,b]', 'a list of dicts'),
        # dicts, and brackets that do not close
        (
            "model.test_cfg={'mode':'slide','crop_size':(512,512)}",
            'one option for each key of a dict',
        ),
        ("train_cfg.max_epochs={'a':1}", 'one option for each key of a dict'),
        ("param_scheduler=[{'type':'LinearLR'}]", 'one option for each key of a dict'),
        ("optim_wrapper.optimizer=dict(type='SGD',lr=1)", 'one option for each key of a dict'),
        ('model.neck.in_channels=[1,2', 'a number, a word'),
        ('model.neck.in_channels=1,(2', 'a number, a word'),
    ],
)
def test_values_of_another_kind(option, expected):
    key = option.partition('=')[0]
    with raises_naming(ConfigError, f'--cfg-options {key}: expected {expected}') as error:
        load_config(MASK_RCNN, cfg_options=[option])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('value', [dict(a=1), dict(type='FPN')])
def test_dicts_for_single_values(value):
    """From Python; a list of dicts may stand for a dict, and None for anything."""
    for key in ('train_cfg.max_epochs', 'model.neck.in_channels'):
        with raises_naming(ConfigError, f'--cfg-options {key}:'):
            load_config(MASK_RCNN, cfg_options={key: value})
    options = {'test_evaluator': [dict(type='CocoMetric')], 'model.neck': None}
    cfg = load_config(MASK_RCNN, cfg_options=options)
    assert cfg.test_evaluator == [dict(type='CocoMetric')]
    assert cfg.model.neck is None


def test_parameters_of_a_type_that_is_set_beside_them():
    options = ['optim_wrapper.loss_scale=dynamic', 'optim_wrapper.type=AmpOptimWrapper']
    cfg = load_config(MASK_RCNN, cfg_options=options)
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    with raises_naming(ConfigError, 'optim_wrapper.loss_scale', 'OptimWrapper'):
        load_config(MASK_RCNN, cfg_options=options[:1])


def test_dict_that_is_emptied_first():
    """For another type without the arguments of the one before, in any order of the options."""
    options = ['lr=0.1', 'type=SGD', '_delete_=True']
    options = [f'optim_wrapper.optimizer.{option}' for option in options]
    for given in (options, options[::-1]):
        assert load_config(MASK_RCNN, cfg_options=given).optim_wrapper == dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)
        )
    cfg = load_config(MASK_RCNN, cfg_options=options[2:])
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW')
    for option in ('_delete_=True', 'optim_wrapper.optimiser._delete_=True'):
        with raises_naming(ConfigError, option.partition('=')[0], 'unknown key'):
            load_config(MASK_RCNN, cfg_options=[option])
    with raises_naming(ConfigError, 'optim_wrapper.optimizer._delete_', True, 1):
        load_config(MASK_RCNN, cfg_options=['optim_wrapper.optimizer._delete_=1'])


@pytest.mark.parametrize(
    'option', ['novalue', '=3', 'train_cfg.max_epochs.x=1', 'model.neck.in_channels.9=1']
)
def test_malformed_options_are_refused(option):
    with raises_naming(ConfigError, '--cfg-options', option.partition('=')[0] or option):
        load_config(MASK_RCNN, cfg_options=[option])


def test_options_are_read_as_mmengine_reads_them():
    options = ['a=1', 'b=1e-3', 'c=text', 'd=[1,2]', 'e=(1,2)', 'f=True', 'g=None', 'h=a=b']
    assert parse_options(options) == {
        'a': 1,
        'b': 1e-3,
        'c': 'text',
        'd': [1, 2],
        'e': (1, 2),
        'f': True,
        'g': None,
        'h': 'a=b',
    }


def test_names_of_variants_stay_words():
    options = parse_options(['model.backbone.arch=1.0', 'model.backbone.dropout=0.1'])
    assert options == {'model.backbone.arch': '1.0', 'model.backbone.dropout': 0.1}
