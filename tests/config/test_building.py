"""What classes refuse is one line that names the place in the config."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.registry import (
    DATASETS,
    MODELS,
    PARAM_SCHEDULERS,
    DefaultScope,
    Registry,
    build_functions,
)
from mmengine.runner import Runner
from torch import nn

from fastvit_dense import engine
from fastvit_dense.config.building import explained_building, try_building
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

NAME = 'configs/maskrcnn_fastvit_t8.py'


def refusal(cfg):
    """What follows the name of the config in the message."""
    with pytest.raises(ConfigError) as error:
        try_building(cfg)
    message = str(error.value)
    assert message.startswith(f'{NAME}: ')
    assert '\n' not in message
    return message.removeprefix(f'{NAME}: ')


# --- before data is read -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['optim_wrapper.optimizer.lr=fast'],
            "optim_wrapper.optimizer.lr: AdamW expects a number, found 'fast'",
        ),
        (
            ['optim_wrapper.optimizer.lr=-1'],
            'optim_wrapper.optimizer (AdamW): Invalid learning rate: -1',
        ),
        (
            ['model.backbone.drop_path_rate=much'],
            "model.backbone.drop_path_rate: FastViT expects a number, found 'much'",
        ),
        (
            ['model.backbone.drop_path_rate=2'],
            'model.backbone (FastViT): drop_path_rate is 2, expected 0 <= rate < 1',
        ),
        (
            ['model.neck.num_outs=2'],
            'model.neck (FPN): assert num_outs >= self.num_ins - start_level',
        ),
    ],
)
def test_values_that_a_type_refuses(options, message):
    assert refusal(load_config(NAME, cfg_options=options)) == message


def test_argument_left_from_another_type():
    """AdamW's betas for SGD; the way out that the message names works."""
    options = ['optim_wrapper.optimizer.type=SGD', 'optim_wrapper.optimizer.lr=0.01']
    message = refusal(load_config(NAME, cfg_options=options))
    assert message.startswith("optim_wrapper.optimizer.betas: SGD takes no argument 'betas'; ")
    assert ', lr, maximize, momentum, ' in message
    assert "optimizer=dict(_delete_=True, type='SGD', ...)" in message
    assert '--cfg-options optim_wrapper.optimizer._delete_=True' in message
    options.append('optim_wrapper.optimizer._delete_=True')
    cfg = load_config(NAME, cfg_options=options)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.01)
    assert try_building(cfg) is not None


@pytest.mark.parametrize(
    ('place', 'wrong', 'nearest', 'kind'),
    [
        ('model.neck', 'in_chanels', 'in_channels', 'FPN'),
        ('model.backbone', 'out_index', 'out_indices', 'FastViT'),
        ('model.roi_head.mask_head', 'num_class', 'num_classes', 'RLEMaskHead'),
        ('train_dataloader.dataset.pipeline.4', 'probs', 'prob', 'RandomFlip'),
        ('optim_wrapper', 'clip_gradient', 'clip_grad', 'OptimWrapper'),
    ],
)
def test_unknown_key_of_a_config_file(place, wrong, nearest, kind):
    cfg = load_config(NAME)
    node = cfg
    for key in place.split('.'):
        node = node[int(key)] if key.isdigit() else node[key]
    node[wrong] = 1
    message = f'{place}.{wrong}: {kind} takes no argument {wrong!r}; the nearest known one is '
    assert refusal(cfg) == message + repr(nearest)


def test_argument_that_is_missing():
    cfg = load_config(NAME)
    del cfg.model.neck.in_channels
    assert refusal(cfg) == 'model.neck: FPN needs in_channels'


def test_type_that_nothing_registers():
    cfg = load_config(NAME)
    cfg.model.neck.type = 'FPNN'
    assert refusal(cfg) == "model.neck: no type 'FPNN' is registered; did you mean 'FPN'?"


def current_scope():
    scope = DefaultScope.get_current_instance()
    return scope and scope.scope_name


def test_nothing_changes_by_trying():
    cfg = load_config(NAME)
    before, scope = cfg.to_dict(), current_scope()
    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.INFO)
    model = try_building(cfg)
    assert model.backbone.arch == 't8'
    assert cfg.to_dict() == before
    assert current_scope() == scope
    assert logger.level == logging.INFO


def test_what_is_not_the_configs_is_left_to_the_true_building():
    """A file of MANO that is not there, an optimizer for GPUs."""
    cfg = load_config('configs/handmesh_fastvit_t8.py')
    cfg.model.mano.path = 'missing/MANO_RIGHT.pkl'
    assert try_building(cfg) is None
    cfg.optim_wrapper.optimizer.betas = (0.9, 2.0)  # is looked at all the same
    with raises_naming(ConfigError, 'optim_wrapper.optimizer', 'AdamW', 2.0):
        try_building(cfg)


# --- other errors of building ------------------------------------------------------------------


class Base(nn.Module):
    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(1, width)


@MODELS.register_module('ThingOfTestBuilding')
class Thing(Base):
    def __init__(self, *, depth, kernel=None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.helper = helper(depth) if kernel is None else nn.Conv2d(1, 1, **kernel)


def helper(depth):
    if depth == 'key':
        return {}['absent']
    if depth == 'call':
        return helper(deep=3)
    return depth + 1


def build(**settings):
    model = dict(type='ThingOfTestBuilding', **settings)
    cfg = Config(dict(model=model, other=dict(type='ThingOfTestBuilding')))
    with explained_building(cfg):
        return MODELS.build(cfg.model)


def test_arguments_of_base_classes():
    with raises_naming(ConfigError, 'config', 'model.with', "'width'"):
        build(depth=1, **{'with': 3})
    with raises_naming(ConfigError, 'config', 'model.width', 'Thing', 'a number', "'wide'"):
        build(depth=1, width='wide')
    with raises_naming(ConfigError, 'config', 'model', 'Thing', 'depth'):
        build()
    assert build(depth=1).helper == 2


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        # faults of the type's own code: '+' of word and number, a key that it does not find
        (dict(depth='word'), TypeError, 'can only concatenate str (not "int") to str'),
        (dict(depth='key'), KeyError, 'KeyError: absent'),
        (dict(depth='call'), TypeError, "helper() got an unexpected keyword argument 'deep'"),
        # handed on to what the config does not name
        (dict(depth=1, kernel=dict(size=3)), TypeError, "unexpected keyword argument 'size'"),
    ],
)
def test_other_errors_keep_their_message(settings, error, message):
    with pytest.raises(ConfigError) as caught:
        build(**settings)
    assert str(caught.value).startswith('config: model (ThingOfTestBuilding): ')
    assert str(caught.value).endswith(message)
    assert type(caught.value.__cause__) is error


def test_what_code_builds_is_told_by_the_dict_around_it():
    """A part that no dict of the config names; a part in a list of the config."""
    inner = dict(type='ThingOfTestBuilding', depth='word')

    @MODELS.register_module('AroundOfTestBuilding', force=True)
    class Around(nn.Module):
        def __init__(self, parts) -> None:
            super().__init__()
            MODELS.build(parts or dict(inner, kernel=None))

    for parts, place in (
        (None, 'model (AroundOfTestBuilding)'),
        ([dict(type='ReLU'), inner], 'model.parts.1 (ThingOfTestBuilding)'),
    ):
        model = dict(type='AroundOfTestBuilding', parts=parts)
        cfg = Config(dict(first=dict(inner, depth=1), model=model))
        with (
            raises_naming(ConfigError, 'config', place, 'can only concatenate'),
            explained_building(cfg),
        ):
            MODELS.build(cfg.model)


def test_errors_that_no_dict_of_the_config_is_part_of():
    with raises_naming(KeyError, 'NothingOfTestBuilding'), explained_building(Config()):
        MODELS.build(dict(type='NothingOfTestBuilding'))


def test_mmengine_builds_as_before_afterwards():
    before = Registry.build, build_functions.build_from_cfg, Runner.build_dataloader
    with explained_building(Config()):
        assert Registry.build is not before[0]
    assert (Registry.build, build_functions.build_from_cfg, Runner.build_dataloader) == before
    assert isinstance(vars(Runner)['build_dataloader'], staticmethod)


def test_types_that_initialise_weights():
    class Layer(BaseModule):
        pass

    cfg = Config(dict(model=dict(type='Layer', init_cfg=dict(type='Normall', layer='Conv2d'))))
    with (
        raises_naming(ConfigError, 'config', 'model.init_cfg', "'Normall'"),
        explained_building(cfg),
    ):
        Layer(cfg.model.init_cfg).init_weights()


def test_types_that_are_not_built_by_a_registry():
    """mmengine builds dataloaders itself, and schedules that it converts to iterations."""
    schedule = dict(type='LinearLR', start_facto=0.1, by_epoch=True, convert_to_iter_based=True)
    data = dict(dataset=[1, 2], batch_size=-1, sampler=None)
    cfg = Config(dict(param_scheduler=[schedule], val_dataloader=data))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    facts = ('param_scheduler.0.start_facto', 'LinearLR', "'start_factor'")
    with raises_naming(ConfigError, *facts), explained_building(cfg):
        PARAM_SCHEDULERS.build(schedule, default_args=dict(optimizer=optimizer, epoch_length=3))
    facts = ('val_dataloader', 'DataLoader', 'batch_size')
    with raises_naming(ConfigError, *facts), explained_building(cfg):
        Runner.build_dataloader(data)


def test_errors_of_the_package_stay(tmp_path):
    """They say what is wrong already."""
    from fastvit_dense.errors import DataError

    with raises_naming(DataError, 'a file') as error, explained_building(Config()):
        raise DataError('a file')
    assert str(error.value) == 'a file'


@DATASETS.register_module('FailsOfTestBuilding')
class Fails:
    def __init__(self, path) -> None:
        self.path = path
        self.read()

    def read(self):
        raise ValueError('line 3 is broken')


def test_what_a_constructor_does():
    cfg = Config(dict(data=dict(type='FailsOfTestBuilding', path='x')))
    with (
        raises_naming(ConfigError, 'config', 'data', 'FailsOfTestBuilding', 'line 3 is broken'),
        explained_building(cfg),
    ):
        DATASETS.build(cfg.data)


# --- while training and testing ----------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize(
    ('text', 'facts'),
    [
        (
            'default_hooks = dict(logger=dict(intervall=3))',
            ('default_hooks.logger.intervall', 'ProgressHook', "'interval'"),
        ),
        (
            'train_dataloader = dict(sampler=dict(shufle=True))',
            ('train_dataloader.sampler.shufle', 'SeededInfiniteSampler', "'shuffle'"),
        ),
        (
            'val_evaluator = dict(iou_metric=3)',
            ('val_evaluator.iou_metric', 'SemanticMetric', "'iou_metrics'"),
        ),
    ],
)
def test_unknown_keys_that_training_finds(tiny_semantic, tmp_path, text, facts):
    config = tmp_path / 'config.py'
    config.write_text(f'_base_ = {str(tiny_semantic)!r}\n{text}\n')
    with raises_naming(ConfigError, config, *facts):
        engine.train(config, work_dir=str(tmp_path))


@pytest.mark.integration
def test_unknown_key_of_an_evaluator(tiny_semantic, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(f'_base_ = {str(tiny_semantic)!r}\ntest_evaluator = dict(prefixx=3)\n')
    with raises_naming(ConfigError, config, 'test_evaluator.prefixx', "'prefix'"):
        engine.score_predictions(config, str(tmp_path), work_dir=str(tmp_path / 'work'))
