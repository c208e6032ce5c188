"""The test's data follows the validation's where only that was set."""

import pytest

from fastvit_dense.tasks.config import load_config

MASK_RCNN = 'maskrcnn_fastvit_t8'
COCO = 'annotations/instances_val2017.json'


def write(folder, name, base, text):
    path = folder / f'{name}.py'
    path.write_text(f'_base_ = {str(base)!r}\n{text}\n')
    return path


OPTIONS = [
    'val_dataloader.dataset.data_root=parts/',
    'val_dataloader.dataset.ann_file=val.json',
    'val_dataloader.dataset.data_prefix.img=images/',
    'val_evaluator.ann_file=parts/val.json',
]
FILE = """
val_dataloader = dict(
    batch_size=3,
    dataset=dict(
        data_root='parts/', ann_file='val.json', data_prefix=dict(img='images/'), indices=7
    ),
)
val_evaluator = dict(ann_file='parts/val.json')
"""


def data_of(cfg, loader):
    dataset = cfg[f'{loader}_dataloader'].dataset
    evaluator = cfg[f'{loader}_evaluator']
    return dataset.data_root, dataset.ann_file, dataset.data_prefix.img, evaluator.ann_file


WANTED = ('parts/', 'val.json', 'images/', 'parts/val.json')


def test_options_for_the_validation_alone():
    cfg = load_config(MASK_RCNN, cfg_options=[*OPTIONS, 'val_dataloader.dataset.indices=7'])
    assert data_of(cfg, 'test') == data_of(cfg, 'val') == WANTED
    assert 'indices' not in cfg.test_dataloader.dataset  # a part for a quick look is no data
    assert cfg.test_dataloader.dataset is not cfg.val_dataloader.dataset


def test_options_for_the_test_stay():
    own = ['test_dataloader.dataset.ann_file=test.json']
    cfg = load_config(MASK_RCNN, cfg_options=[*OPTIONS, *own])
    root, ann_file, _, evaluator = data_of(cfg, 'test')
    assert (root, ann_file) == ('data/coco/', 'test.json')
    assert evaluator == f'data/coco/{COCO}'


def test_a_file_for_the_validation_alone(tmp_path, root_dir):
    """Also one that builds on another of one's own, and settings of the loader beside."""
    shipped = root_dir / 'configs' / f'{MASK_RCNN}.py'
    own = write(tmp_path, 'own', shipped, FILE)
    for path in (own, write(tmp_path, 'further', own, 'train_cfg = dict(max_epochs=3)')):
        cfg = load_config(path)
        assert data_of(cfg, 'test') == data_of(cfg, 'val') == WANTED
        assert 'indices' not in cfg.test_dataloader.dataset
        assert cfg.test_dataloader.batch_size != 3
    batch = write(tmp_path, 'batch', shipped, 'val_dataloader = dict(batch_size=3)')
    assert data_of(load_config(batch), 'test') == data_of(load_config(MASK_RCNN), 'test')


@pytest.mark.parametrize(
    'text',
    [
        "test_dataloader = dict(dataset=dict(ann_file='test.json'))",
        "test_evaluator = dict(ann_file='parts/test.json')",
    ],
)
def test_a_file_for_both(tmp_path, root_dir, text):
    shipped = root_dir / 'configs' / f'{MASK_RCNN}.py'
    cfg = load_config(write(tmp_path, 'own', shipped, FILE + text))
    assert data_of(cfg, 'val') == WANTED
    assert cfg.test_dataloader.dataset.data_root == 'data/coco/'


def test_datasets_and_evaluators_of_another_form(tmp_path, root_dir):
    shipped = root_dir / 'configs' / f'{MASK_RCNN}.py'
    text = """
one = dict(type='CocoDataset', ann_file='a.json', test_mode=True)
val_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[one, one]))
val_evaluator = [dict(type='InstanceMetric', ann_file='a.json')]
"""
    cfg = load_config(write(tmp_path, 'own', shipped, text))
    assert cfg.test_evaluator == cfg.val_evaluator
    assert cfg.test_dataloader.dataset.type == 'ConcatDataset'
    assert cfg.test_dataloader.dataset.datasets == cfg.val_dataloader.dataset.datasets


def test_another_split_of_the_same_folder_stays(tmp_path, root_dir):
    """FreiHAND's validation is a part of its training set."""
    options = ['val_dataloader.dataset.data_root=hands', 'val_dataloader.dataset.portion=all']
    dataset = load_config('handmesh_fastvit_t8', cfg_options=options).test_dataloader.dataset
    assert (dataset.data_root, dataset.split) == ('hands', 'evaluation')
    assert 'portion' not in dataset


def test_without_settings_nothing_follows():
    cfg = load_config(MASK_RCNN)
    assert data_of(cfg, 'test')[1] == COCO
    hands = load_config('handmesh_fastvit_t8')
    assert hands.test_dataloader.dataset.split == 'evaluation'
    assert 'versions' not in hands.test_dataloader.dataset
