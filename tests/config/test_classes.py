"""Classes of the training dataset reach the heads and the other datasets."""

import pytest

from fastvit_dense.config.classes import set_num_classes
from fastvit_dense.config.loaders import dataset_classes, datasets_of
from fastvit_dense.tasks.config import load_config

MASK_RCNN = 'configs/maskrcnn_fastvit_t8.py'


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


def test_classes_of_the_training_dataset_reach_heads_and_other_datasets():
    cfg = load_config(
        MASK_RCNN, cfg_options=['train_dataloader.dataset.metainfo.classes=(cat,dog,cup)']
    )
    assert cfg.model.roi_head.bbox_head.num_classes == 3
    assert cfg.model.roi_head.mask_head.num_classes == 3
    for dataset in datasets_of(cfg):
        assert dataset_classes(dataset, 'mmdet') == ('cat', 'dog', 'cup')


def test_one_class_given_as_a_string():
    cfg = load_config(MASK_RCNN, cfg_options=['train_dataloader.dataset.metainfo.classes=cat'])
    assert cfg.model.roi_head.bbox_head.num_classes == 1
    assert dataset_classes(next(datasets_of(cfg)), 'mmdet') == ('cat',)


def test_number_of_classes_reaches_class_weights():
    model = dict(
        panoptic_head=dict(
            num_things_classes=80,
            num_stuff_classes=0,
            loss_cls=dict(class_weight=[1.0] * 80 + [0.1]),
        ),
        stages=[dict(num_classes=80), dict(num_classes=80)],
    )
    set_num_classes(model, 2)
    head = model['panoptic_head']
    assert (head['num_things_classes'], head['num_stuff_classes']) == (2, 0)
    assert head['loss_cls']['class_weight'] == [1.0, 1.0, 0.1]
    assert [stage['num_classes'] for stage in model['stages']] == [2, 2]
