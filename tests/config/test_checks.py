"""Settings that cannot be right are told before anything is built or read."""

import re

import pytest

from fastvit_dense import engine
from fastvit_dense.config.channels import check_channels
from fastvit_dense.config.checks import check_pretrained, check_settings, check_test_cfg
from fastvit_dense.config.options import merge_options
from fastvit_dense.errors import CheckpointError, ConfigError
from tests.config.shipped import CONFIGS, INSTANCE, SEMANTIC, one_line, read
from tests.facts import assert_names, raises_naming


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_of_the_project_pass(name):
    cfg = read(name)
    check_channels(cfg)
    check_settings(cfg)
    check_pretrained(cfg)
    check_test_cfg(cfg)


# --- windows of segmentors ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ('settings', 'field'),
    [
        (dict(mode='whole'), None),
        (dict(mode='whole', crop_size=(9,)), None),  # not read
        (dict(mode='slide', crop_size=(512, 512), stride=(340, 340)), None),
        (dict(mode='slide', crop_size=[512, 256], stride=[512, 256]), None),
        (dict(), 'mode'),
        (dict(mode='slid'), 'mode'),
        (dict(mode='slide'), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 512)), 'stride'),
        (dict(mode='slide', crop_size=512, stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512,), stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 512), stride=(340, 340, 340)), 'stride'),
        (dict(mode='slide', crop_size=(512, 512), stride=(0, 340)), 'stride'),
        (dict(mode='slide', crop_size=(512, -1), stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 512.0), stride=(340, 340)), 'crop_size'),
        (dict(mode='slide', crop_size=(512, 256), stride=(340, 340)), 'stride'),
    ],
)
def test_windows(settings, field):
    cfg = read(SEMANTIC)
    cfg.model.test_cfg = settings
    if field is None:
        check_test_cfg(cfg)
        return
    message = one_line(check_test_cfg, cfg)
    assert message.startswith(f'configs/{SEMANTIC}.py: model.test_cfg.{field}: expected ')


def test_models_without_windows():
    check_test_cfg(read(INSTANCE))
    check_test_cfg(read('handmesh_fastvit_sa24'))
    cfg = read(SEMANTIC, 'model.test_cfg=None')
    assert 'model.test_cfg: expected a dict' in one_line(check_test_cfg, cfg)


@pytest.mark.integration
def test_windows_are_told_before_data_is_read(tiny_semantic, monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError('data was read')

    monkeypatch.setattr('fastvit_dense.engine.build.quick_check', refuse)
    with raises_naming(ConfigError, 'model.test_cfg.crop_size', 'expected'):
        engine.train(
            tiny_semantic, work_dir=str(tmp_path), cfg_options=['model.test_cfg.mode=slide']
        )


# --- numbers and keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'least'),
    [
        ('train_dataloader.batch_size=many', 1),
        ('train_dataloader.batch_size=0', 1),
        ('train_dataloader.batch_size=[2]', 1),
        ('val_dataloader.num_workers=x', 0),
        ('train_dataloader.num_workers=-1', 0),
        ('test_dataloader.num_workers=True', 0),
        ('train_cfg.max_epochs=abc', 1),
        ('train_cfg.max_epochs=1.5', 1),
        ('train_cfg.max_epochs=0', 1),
        ('train_cfg.val_interval=0', 1),
    ],
)
def test_numbers_that_are_none(option, least):
    field, _, value = option.partition('=')
    cfg = read(INSTANCE, option)
    message = one_line(check_settings, cfg)
    assert message.startswith(f'configs/{INSTANCE}.py: {field}: expected a whole number of at ')
    assert re.search(rf"at least {least}, found '?{re.escape(value)}'?$", message)


@pytest.mark.parametrize('indices', ['0', '[]'])
def test_no_samples_at_all(indices):
    cfg = read(INSTANCE, f'val_dataloader.dataset.indices={indices}')
    message = one_line(check_settings, cfg)
    assert 'val_dataloader.dataset.indices: expected a number of samples from 1 on' in message
    assert message.endswith(f'found {indices}')
    check_settings(read(INSTANCE, 'val_dataloader.dataset.indices=[0]'))


@pytest.mark.parametrize(
    'field', ['param_scheduler.0.start_factor', 'default_hooks.checkpoint.interval']
)
def test_words_where_training_counts(field):
    message = one_line(check_settings, read(INSTANCE, f'{field}=often'))
    kind = 'LinearLR' if field.startswith('param') else 'CheckpointHook'
    assert message.endswith(f": {field}: {kind} expects a number, found 'often'")


@pytest.mark.parametrize('place', ['train_dataloader', 'train_cfg', 'optim_wrapper'])
@pytest.mark.parametrize('value', [None, 3])
def test_dicts_that_training_needs(place, value):
    cfg = read(INSTANCE)
    cfg[place] = value
    message = one_line(check_settings, cfg)
    assert message == (
        f'configs/{INSTANCE}.py: {place}: expected a dict, which training needs, found {value}'
    )
    check_settings(cfg, ['test_dataloader'])


def test_dataloader_that_is_no_dict():
    message = one_line(lambda: read(INSTANCE, 'train_dataloader=3'))
    assert message.endswith(' train_dataloader: expected a dict, found 3')


@pytest.mark.parametrize('place', ['env_cfg', 'randomness'])
def test_settings_of_the_runner_that_are_none(place):
    message = one_line(check_settings, read(INSTANCE, f'{place}=None'))
    assert f'{place}: expected a dict, found None' in message


@pytest.mark.parametrize('option', ['resume=maybe', 'resume=1', 'load_from=3', 'load_from=[a.pth]'])
def test_settings_of_the_runner_of_another_type(option):
    field, _, _ = option.partition('=')
    message = one_line(lambda: check_settings(read(INSTANCE, option)))
    kind = 'True, False' if field == 'resume' else 'a path'
    assert_names(message, INSTANCE, f'{field}: expected {kind} or None, found')


@pytest.mark.parametrize('value', ['x', '0', '-1', 'nan', 'None'])
@pytest.mark.parametrize('limit', ['max_norm', 'clip_value'])
def test_limits_of_gradients_that_stop_all_learning(limit, value):
    cfg = read(INSTANCE)
    cfg.optim_wrapper.clip_grad = {limit: 1.0}
    check_settings(cfg)
    merge_options(cfg, [f'optim_wrapper.clip_grad.{limit}={value}'])
    message = one_line(check_settings, cfg)
    assert_names(message, f'optim_wrapper.clip_grad.{limit}', 'a number above 0', 'found', value)


@pytest.mark.parametrize(
    ('option', 'facts'),
    [
        ('size=512', ['size', 'height, width', 'found', 512]),
        ('size=[0,0]', ['size', 'height, width', 'found', [0, 0]]),
        ('size=[64]', ['size', 'found', [64]]),
        ('std=[0,0,0]', ['std', 'other than 0', 'found', [0, 0, 0]]),
        ('std=[1,x,1]', ['std', 'other than 0', 'found', "[1, 'x', 1]"]),
    ],
)
def test_what_pictures_cannot_be_divided_by_or_padded_to(option, facts):
    cfg = read(SEMANTIC, f'model.data_preprocessor.{option}')
    assert_names(one_line(check_settings, cfg), 'model.data_preprocessor', *facts)


def test_seed_that_is_no_number():
    message = one_line(check_settings, read(INSTANCE, 'randomness.seed=abc'))
    assert message.endswith("randomness.seed: expected a whole number or None, found 'abc'")
    for seed in (-1, 2**32):
        message = one_line(check_settings, read(INSTANCE, f'randomness.seed={seed}'))
        assert message.endswith(f'randomness.seed: expected 0 to {2**32 - 1}, found {seed}')


def test_iterations_written_as_a_power_of_ten():
    check_settings(read(SEMANTIC, 'train_cfg.max_iters=8e4'))


def test_processes_that_stay_where_there_are_none():
    cfg = read(INSTANCE, 'train_dataloader.num_workers=0')
    assert 'train_dataloader.persistent_workers: expected False' in one_line(check_settings, cfg)
    cfg.train_dataloader.persistent_workers = False
    check_settings(cfg)


def test_key_that_a_dataloader_does_not_take():
    cfg = read(INSTANCE)
    cfg.val_dataloader.batchsize = 4
    message = one_line(check_settings, cfg)
    assert message == (
        f"configs/{INSTANCE}.py: val_dataloader.batchsize: DataLoader takes no argument 'batchsize'"
        "; the nearest known one is 'batch_size'"
    )
    check_settings(cfg, ['train_dataloader'])


# --- pretrained files --------------------------------------------------------------------------


def test_pretrained_files_on_this_disk(tmp_path):
    for name in ('apple/fastvit_t8', 'https://example.org/x.pth', 'torchvision://resnet50'):
        check_pretrained(read(INSTANCE, f'model.backbone.init_cfg.checkpoint={name}'))
    (tmp_path / 'there.pth').touch()
    check_pretrained(read(INSTANCE, f'model.backbone.init_cfg.checkpoint={tmp_path}/there.pth'))
    with raises_naming(CheckpointError, tmp_path, 'a folder, expected', 'found', 'there.pth'):
        check_pretrained(read(INSTANCE, f'model.backbone.init_cfg.checkpoint={tmp_path}'))
    for name in ('missing.pth', 'apple/fastvit_t9'):
        cfg = read(INSTANCE, f'model.backbone.init_cfg.checkpoint={name}')
        place = 'model.backbone.init_cfg.checkpoint'
        with raises_naming(CheckpointError, name, 'no such file', place):
            check_pretrained(cfg)


@pytest.mark.integration
def test_missing_pretrained_file_is_told_before_data_is_read(tiny_semantic, monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError('data was read')

    monkeypatch.setattr('fastvit_dense.engine.build.quick_check', refuse)
    init = "dict(_delete_=True, type='Pretrained', checkpoint='missing.pth')"
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(tiny_semantic)!r}\nmodel = dict(backbone=dict(init_cfg={init}))'
    )
    with raises_naming(CheckpointError, 'missing.pth', 'no such file'):
        engine.train(config, work_dir=str(tmp_path / 'work'))
