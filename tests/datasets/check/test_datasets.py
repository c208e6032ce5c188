import json

from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import DATASETS

from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.errors import DataError
from fastvit_dense.tasks.config import load_config
from tests.facts import assert_names, raises_naming


def test_wrapped_datasets_are_opened(coco_tree):
    other = coco_tree.dataset(ann_file='annotations/none.json')
    cfg = coco_tree.config()
    cfg.train_dataloader.dataset = {
        'type': 'MultiImageMixDataset',
        'dataset': {
            'type': 'RepeatDataset',
            'times': 3,
            'dataset': {'type': 'ConcatDataset', 'datasets': [coco_tree.dataset(), other]},
        },
        'pipeline': [],
    }
    (message,) = check_config(cfg).errors
    assert 'none.json: no such annotation file' in message


def test_one_dataset_in_two_loaders_is_told_once(coco_tree):
    cfg = coco_tree.config('val')
    cfg.test_dataloader = cfg.val_dataloader
    coco_tree.content['annotations'][0]['bbox'] = [0, 0, 0, 0]
    coco_tree.write()
    report = check_config(cfg)
    assert len(report.errors) == 1
    assert [d.loaders for d in report.datasets] == [['val', 'test']]
    assert 'val, test: box_without_area (box of no area): 1' in str(report)


def test_the_test_set_is_the_one_for_validation_where_only_that_was_set(coco_tree):
    options = [
        f'{loader}_dataloader.dataset.{key}'
        for loader in ('train', 'val')
        for key in (
            f'data_root={coco_tree.root}',
            'ann_file=annotations/train.json',
            'data_prefix.img=images/',
        )
    ]
    options += ['train_dataloader.dataset.metainfo.classes=[cat,dog]']
    options += [f'val_evaluator.ann_file={coco_tree.ann_file}']
    report = check_config(load_config('maskrcnn_fastvit_t8', cfg_options=options))
    assert report.errors == []
    assert [dataset.loaders for dataset in report.datasets] == [['train'], ['val', 'test']]


def test_heads_that_expect_another_number_of_classes(coco_tree):
    cfg = coco_tree.config()
    cfg.model = {
        'backbone': {'num_classes': 1000},
        'rpn_head': {'num_classes': 1},
        'roi_head': {
            'bbox_head': [{'num_classes': 2}, {'num_classes': 80}],
            'mask_head': {'num_classes': 3},
        },
    }
    errors = check_config(cfg).errors
    assert errors == [
        'model.roi_head.bbox_head.1.num_classes: expected 2, the number of classes of the '
        'CocoDataset (cat, ...), found 80',
        'model.roi_head.mask_head.num_classes: expected 2, the number of classes of the '
        'CocoDataset (cat, ...), found 3',
    ]


def test_evaluator_with_another_file(coco_tree):
    cfg = coco_tree.config('val')
    cfg.val_evaluator = {'type': 'InstanceMetric', 'ann_file': str(coco_tree.ann_file)}
    assert check_config(cfg).warnings == []
    cfg.val_evaluator.ann_file = 'data/coco/annotations/instances_val2017.json'
    (message,) = check_config(cfg).warnings
    assert f'expected {coco_tree.ann_file} as in the dataset' in message


def test_summary_shows_a_few_of_many(coco_tree):
    for annotation in coco_tree.content['annotations']:
        annotation['bbox'] = [4, 5, 0, 0]
    coco_tree.write()
    text = str(check_config(coco_tree.config()))
    assert 'train: box_without_area (box of no area): 6' in text
    assert text.count('expected a width and a height') == 3
    assert '... and 3 more' in text
    assert text.endswith('the data cannot be used as it is: 6 errors, 0 warnings')
    with raises_naming(
        DataError, 'train_dataloader', 6, 'fastvit-dense check-data CONFIG'
    ) as error:
        quick_check(coco_tree.config(), 'train_dataloader')
    assert str(error.value).count('\n') == 7


def test_datasets_that_cannot_be_checked(coco_tree):
    report = check_config(coco_tree.config(type='VOCDataset'))
    assert report.errors == []
    assert 'VOCDataset: there is no check' in report.warnings[0]
    report = check_config(coco_tree.config(data_root='s3://bucket/coco'))
    assert report.errors == []
    assert 'not on this disk' in report.warnings[0]


def test_each_class_has_a_name_of_its_own(coco_tree, semantic_tree):
    for tree in (coco_tree, semantic_tree):
        metainfo = {'classes': ('field', 'field', ' ')}
        errors = check_config(tree.config(metainfo=metainfo)).errors
        assert_names(errors[0], 'metainfo.classes', 'once', "'field'", 2)
        assert_names(errors[1], 'metainfo.classes', 'expected names', "' '")


def test_settings_that_do_not_fit(coco_tree):
    (message,) = check_config(coco_tree.config(type='CocoDatasset')).errors
    assert "no dataset type 'CocoDatasset' is registered" in message
    (message,) = check_config(coco_tree.config(colour='red')).errors
    assert 'CocoDataset: its settings do not fit' in message
    assert "CocoDataset takes no argument 'colour'; known are ann_file, backend_args, " in message
    (message,) = check_config(coco_tree.config(ann_fil='x')).errors
    assert message.endswith("'ann_fil'; the nearest known one is 'ann_file'")
    (message,) = check_config(Config({'model': {}})).errors
    assert 'no dataset in train_dataloader' in message


def test_a_type_that_refuses_without_a_word(coco_tree):
    @DATASETS.register_module(force=True)
    class CocoDatasetThatAsserts(CocoDataset):
        def __init__(self, **settings):
            raise AssertionError  # as a bare `assert` does

    (message,) = check_config(coco_tree.config(type='CocoDatasetThatAsserts')).errors
    assert_names(message, 'CocoDatasetThatAsserts', 'settings', 'AssertionError')


def test_warnings_of_the_quick_check_are_logged(coco_tree, logged):
    coco_tree.content['categories'].append({'id': 9, 'name': 'owl'})
    coco_tree.write()
    quick_check(coco_tree.config(), 'train_dataloader')
    assert any("'owl' are not among the config's classes" in message for message in logged)


def test_hand_dataset_has_its_own_check(tmp_path):
    import fastvit_dense.datasets.freihand  # noqa: F401

    dataset = {'type': 'FreiHAND', 'data_root': str(tmp_path / 'freihand')}
    report = check_config(Config({'train_dataloader': {'dataset': dataset}}))
    assert len(report.errors) == 1
    assert 'freihand' in report.errors[0]


def test_progress_bar_tells_the_time_left(coco_tree, capsys):
    check_config(coco_tree.config(), progress=True)
    shown = capsys.readouterr().err
    assert '3/3' in shown
    assert 'ETA' in shown


def test_real_photographs_pass(shared_dir):
    root = shared_dir / 'real/voc3'
    names = [c['name'] for c in json.loads((root / 'instances.json').read_text())['categories']]
    dataset = {
        'type': 'CocoDataset',
        'data_root': str(root),
        'ann_file': 'instances.json',
        'data_prefix': {'img': 'images'},
        'metainfo': {'classes': names},
        'pipeline': [{'type': 'LoadAnnotations', 'with_mask': True}],
    }
    cfg = Config({'default_scope': 'mmdet', 'train_dataloader': {'dataset': dataset}})
    report = check_config(cfg)
    assert report.errors == []
    assert report.of('train').annotations_used == 12
