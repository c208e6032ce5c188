"""Classes of the training dataset reach the heads and the other datasets."""

import pytest

from fastvit_dense.config.classes import set_num_classes
from fastvit_dense.config.loaders import dataset_classes, datasets_of
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

MASK_RCNN = 'configs/maskrcnn_fastvit_t8.py'


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


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ("('traffic light','cups, mugs')", ('traffic light', 'cups, mugs')),
        ('[traffic light, cup]', ['traffic light', 'cup']),
        ('traffic light', ('traffic light',)),
        ('[1,02,true,None]', ['1', '02', 'true', 'None']),
        (
            "('True','false',\"driver's seat\",cat (small))",
            ('True', 'false', "driver's seat", 'cat (small)'),
        ),
        ('7,8', ['7', '8']),
    ],
)
def test_names_of_any_kind_on_the_command_line(text, names):
    cfg = load_config(MASK_RCNN, cfg_options=[f'train_dataloader.dataset.metainfo.classes={text}'])
    assert cfg.train_dataloader.dataset.metainfo.classes == names
    assert cfg.val_dataloader.dataset.metainfo.classes == names
    assert cfg.model.roi_head.bbox_head.num_classes == len(names)


def test_names_from_a_text_file(tmp_path):
    """One a line; in the folder of the data or the present one; with a byte order mark too."""
    (tmp_path / 'classes.txt').write_text('traffic light\n\ncups, mugs\r\n2\n', 'utf-8-sig')
    names = ('traffic light', 'cups, mugs', '2')
    key = 'train_dataloader.dataset.metainfo.classes'
    beside = ['train_dataloader.dataset.data_root=' + str(tmp_path), f'{key}=classes.txt']
    for options in (beside, [f'{key}={tmp_path}/classes.txt']):
        cfg = load_config(MASK_RCNN, cfg_options=options)
        assert dataset_classes(next(datasets_of(cfg)), 'mmdet') == names
        assert cfg.model.roi_head.mask_head.num_classes == 3
    with raises_naming(ConfigError, 'metainfo.classes', 'none.txt', 'no such file'):
        load_config(MASK_RCNN, cfg_options=[f'{key}=none.txt'])
    (tmp_path / 'classes.txt').write_text('\n')
    with raises_naming(ConfigError, tmp_path / 'classes.txt', 'one class a line'):
        load_config(MASK_RCNN, cfg_options=beside)


def test_numbers_are_no_names():
    """From Python or a config file, where the text is not known any more."""
    for classes in ([1, 2], ['a', True]):
        with raises_naming(ConfigError, 'metainfo.classes', classes[-1], 'quotes'):
            load_config(
                MASK_RCNN, cfg_options={'train_dataloader.dataset.metainfo.classes': classes[1:]}
            )
