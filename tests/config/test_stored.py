"""Configs inside checkpoints: they stand alone, and a hostile one runs nothing."""

import os
import sys

import pytest
import torch

from fastvit_dense import load_model
from fastvit_dense.config.reading import CONFIGS
from fastvit_dense.config.stored import prediction_text, read_checkpoint_config, stored_config
from fastvit_dense.errors import CheckpointError, ConfigError
from fastvit_dense.tasks import task_of
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture
def save(trained, tmp_path):
    """`save(OLD, NEW)`: the checkpoint with another piece of text in its config, everywhere."""
    content = torch.load(trained, weights_only=False)

    def save(old, new):
        text = content['meta']['cfg']
        assert old in text
        path = tmp_path / 'changed.pth'
        torch.save({**content, 'meta': {**content['meta'], 'cfg': text.replace(old, new)}}, path)
        return path

    return save


def test_a_checkpoint_is_its_config(tiny_instance, trained):
    given, stored = load_config(tiny_instance), load_config(trained)
    for key in ('val_evaluator', 'test_evaluator', 'default_scope'):
        assert stored[key] == given[key], key
    assert stored.model == given.model
    resize = given.test_dataloader.dataset.pipeline[1]
    assert stored.test_dataloader.dataset.pipeline[1] == resize
    assert stored.test_dataloader.dataset.metainfo == given.test_dataloader.dataset.metainfo
    assert stored.filename == f'{trained}/tiny_instance.py'
    assert stored.work_dir == 'work_dirs/tiny_instance'
    assert task_of(stored).name == 'instance'
    for key in ('load_from', 'default_hooks', 'custom_hooks', 'visualizer', 'optim_wrapper'):
        assert key not in stored


def test_options_go_over_it(trained):
    cfg = load_config(trained, cfg_options=['model.test_cfg.rcnn.score_thr=0.5'])
    assert cfg.model.test_cfg.rcnn.score_thr == 0.5
    with raises_naming(ConfigError, 'model.test_cfg.rcnn.score', 'score_thr'):
        load_config(trained, cfg_options=['model.test_cfg.rcnn.score=0.5'])
    with raises_naming(ConfigError, '--sample', trained):
        load_config(trained, sample=True)


def test_ids_of_the_training_annotations(trained):
    """The sample data counts its classes from 1, in its own order."""
    model = load_model(trained)
    assert model.category_ids == tuple(
        torch.load(trained, weights_only=False)['meta']['category_ids']
    )


CALL = '__import__("os").mkdir("mark")'
EVIL = 'evil_module'  # beside the checkpoint


@pytest.mark.parametrize(
    ('old', 'new', 'facts'),
    [
        ("type='MaskRCNN'", "type='os.system'", ('model.type', 'os.system')),
        ("type='MaskRCNN'", f"type='{EVIL}'", ('model.type', EVIL)),
        ("type='MaskRCNN'", "type='mmengine.load'", ('model.type', 'mmengine.load')),
        ("type='MaskRCNN'", "type='nms'", ('model.type', 'nms')),
        ("type='nms'", f"type='{CALL}'", ('nms.type', 'mkdir')),
        ("default_scope='mmdet'", f"default_scope='{EVIL}'", ('default_scope', 'mmdet', EVIL)),
        ('mask_head=dict(', f"mask_head=dict(_scope_='{EVIL}',", ('mask_head._scope_', EVIL)),
        ('/val.json', '/val.pkl', ('val.pkl', 'would be run')),
        ('/val.json', '/val.yaml', ('val.yaml', 'would be run')),
        ("type='CocoDataset'", "type='RefCocoDataset'", ('RefCocoDataset',)),
        (
            "type='LoadCheckedImage'",
            "type='mmseg.LoadBiomedicalData', decode_backend='pickle'",
            ('pickle',),
        ),
        ('\nmodel=dict(', f'\nevil={CALL}\nmodel=dict(', ('line', 'more than data')),
        ('\nmodel=dict(', '\nother=dict(', ('no model in it',)),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else None,
)
def test_hostile_config(save, tmp_path, monkeypatch, old, new, facts):
    """Neither a module beside the checkpoint nor anything that is installed runs."""
    (tmp_path / f'{EVIL}.py').write_text('import os\nos.mkdir("mark")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('')
    path = save(old, new)
    with raises_naming(CheckpointError, path, *facts):
        load_model(path)
    assert not (tmp_path / 'mark').exists()
    assert EVIL not in sys.modules


def test_imports_of_a_checkpoint_are_not_made(save, tmp_path, monkeypatch):
    (tmp_path / f'{EVIL}.py').write_text('import os\nos.mkdir("mark")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('')
    path = save('\nmodel=dict(', f"\ncustom_imports=dict(imports=['{EVIL}'])\nmodel=dict(")
    load_model(path)
    assert not (tmp_path / 'mark').exists()


def test_files_that_cannot_stand_alone(random_hand, tmp_path):
    with raises_naming(CheckpointError, random_hand, 'carries no config', 'name its config first'):
        load_model(random_hand)
    with raises_naming(CheckpointError, tmp_path / 'none.pth', 'no such file'):
        load_model(tmp_path / 'none.pth')


@pytest.mark.parametrize('name', sorted(path.stem for path in CONFIGS.glob('*_t8.py')))
def test_shipped_configs_can_be_stored(name):
    cfg = load_config(name, pretrained=False)
    stored = stored_config(prediction_text(cfg), 'x.onnx', name)
    assert stored.model == cfg.model
    assert stored.test_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline
    assert 'data_root' not in stored.test_dataloader.dataset


def test_types_of_every_kind_are_known(save):
    """Initialisers, functions, operators and types of torch stand in configs, too."""
    more = (
        "init_cfg=dict(type='Normal', layer='Conv2d', std=0.01), "
        "norm_cfg=dict(type='GN', num_groups=8), mano=dict(path='x.pkl'), "
    )
    path = save('mask_head=dict(', f'mask_head=dict({more}')
    head = read_checkpoint_config(path).model.roi_head.mask_head
    assert head.init_cfg.type == 'Normal'
    path = save('num_workers=', "collate_fn=dict(type='pseudo_collate'), num_workers=")
    assert read_checkpoint_config(path).test_dataloader.collate_fn.type == 'pseudo_collate'


def test_places_of_classes_become_names(trained, save):
    path = save("type='MaskRCNN'", "type='mmdet.models.detectors.mask_rcnn.MaskRCNN'")
    assert read_checkpoint_config(path).model.type == 'MaskRCNN'
    assert os.fspath(path) in read_checkpoint_config(path).filename
