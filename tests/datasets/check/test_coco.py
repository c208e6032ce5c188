import json
import math

import numpy as np
import pytest
from mmengine.registry import DATASETS
from pycocotools import mask as coco_mask

from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.datasets.formats.coco import read_coco
from fastvit_dense.errors import DataError
from fastvit_dense.evaluation import InstanceMetric
from tests.facts import assert_names, raises_naming


def only_error(tree, loader='train', read_files=False, **changes):
    errors = check_config(tree.config(loader, **changes), read_files=read_files).errors
    assert len(errors) == 1, errors
    return errors[0]


def test_sound_data(coco_tree):
    report = check_config(coco_tree.config())
    assert report.errors == report.warnings == []
    train = report.of('train')
    assert (train.images, train.images_used) == (3, 3)
    assert (train.annotations, train.annotations_used) == (6, 6)
    assert train.per_class == {'cat': 3, 'dog': 3}
    assert 'the data is sound: 0 errors, 0 warnings' in str(report)


def set_entry(group, index, **fields):
    return lambda content: content[group][index].update(fields)


def drop_field(group, index, field):
    return lambda content: content[group][index].pop(field)


def rle(mask, **changes):
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {'size': encoded['size'], 'counts': encoded['counts'].decode(), **changes}


MASK = np.zeros((40, 60), np.uint8)
MASK[5:17, 4:14] = 1

SECOND = ['annotations[1]', 'id 2']

# what is done to the JSON, and what the one message that must come of it names; annotations[1] has
# id 2
DAMAGE = {
    'no images key': (lambda c: c.pop('images'), ['images', 'found', 'annotations']),
    'no annotations key': (lambda c: c.pop('annotations'), ['annotations', 'found', 'none']),
    'images no list': (lambda c: c.update(images={}), ['list', 'images', 'found', 'dict']),
    'no annotations': (lambda c: c['annotations'].clear(), ['annotations', 'found', 'empty']),
    'no categories': (lambda c: c['categories'].clear(), ['categories', 'found', 'empty']),
    'entry no object': (
        lambda c: c['images'].__setitem__(0, 'x.jpg'),
        ['images[0]', 'object', 'found', 'x.jpg'],
    ),
    'image without name': (
        drop_field('images', 2, 'file_name'),
        ['images[2]', 'file_name', 'found', 'id', 'height', 'width'],
    ),
    'annotation without box': (
        drop_field('annotations', 1, 'bbox'),
        ['annotations[1]', 'bbox', 'found'],
    ),
    'height no number': (
        set_entry('images', 0, height='40'),
        ['images[0]', 'height', 'int', 'found', "'40'"],
    ),
    'category name empty': (
        set_entry('categories', 1, name=' '),
        ['categories[1]', 'name', 'a name', 'found', "' '"],
    ),
    'file name empty': (
        set_entry('images', 1, file_name=''),
        ['images[1]', 'file_name', 'a name', 'found', "''"],
    ),
    'category id of more than 64 bits': (
        set_entry('categories', 1, id=2**70),
        ['categories[1]', 'id', '64 bits', 'found', 2**70],
    ),
    'no segmentation': (
        drop_field('annotations', 1, 'segmentation'),
        [*SECOND, 'segmentation', 'found', None, 'fasterrcnn_fastvit_'],
    ),
    'category name no string': (
        set_entry('categories', 1, name=None),
        ['categories[1]', 'name', 'str', 'found', None],
    ),
    'duplicate annotation': (set_entry('annotations', 1, id=1), ['annotations', 'id 1', 2]),
    'duplicate image': (
        lambda c: c['images'].append(dict(c['images'][2])),
        ['images', 'id 9', 2],
    ),
    'duplicate category': (
        lambda c: c['categories'].append({'id': 5, 'name': 'dog'}),
        ['categories', 'name', 'dog', 2],
    ),
    'unknown category': (
        set_entry('annotations', 1, category_id=9),
        [*SECOND, 'category_id', '3, 4', 'found', 9],
    ),
    'unknown image': (
        set_entry('annotations', 1, image_id=99),
        [*SECOND, 'image_id', 'found', 99],
    ),
    'box outside': (
        set_entry('annotations', 1, bbox=[56, 5, 10, 12]),
        [*SECOND, 'bbox', '60x40', 'found', [56, 5, 10, 12], '60%'],
    ),
    'box left of the image': (
        set_entry('annotations', 1, bbox=[-9, 5, 10, 12]),
        [*SECOND, 'bbox', '60x40', 'found', [-9, 5, 10, 12]],
    ),
    'box without area': (
        set_entry('annotations', 1, bbox=[4, 5, 0, 12]),
        [*SECOND, 'bbox', 'width', 'height', 'above 0', 'found', [4, 5, 0, 12]],
    ),
    'negative box': (
        set_entry('annotations', 1, bbox=[4, 5, -3, 12]),
        [*SECOND, 'bbox', 'above 0', 'found', [4, 5, -3, 12]],
    ),
    'NaN in box': (
        set_entry('annotations', 1, bbox=[math.nan, 5, 10, 12]),
        [*SECOND, 'bbox', 'finite', 'found', [math.nan, 5, 10, 12]],
    ),
    'infinite box': (
        set_entry('annotations', 1, bbox=[0, 0, math.inf, 2]),
        [*SECOND, 'bbox', 'finite', 'found', [0, 0, math.inf, 2]],
    ),
    'box of three': (
        set_entry('annotations', 1, bbox=[4, 5, 10]),
        [*SECOND, 'bbox', 'four', 'found', [4, 5, 10]],
    ),
    'box of text': (
        set_entry('annotations', 1, bbox=['4', 5, 10, 12]),
        [*SECOND, 'bbox', 'numbers', 'found', ['4', 5, 10, 12]],
    ),
    'no area': (
        drop_field('annotations', 1, 'area'),
        [*SECOND, 'area', 0, 'found', None, 'convert-data'],
    ),
    'area zero': (set_entry('annotations', 1, area=0), [*SECOND, 'area', 0, 'found', 0]),
    'no mask': (
        drop_field('annotations', 1, 'segmentation'),
        [*SECOND, 'segmentation', 'found', None],
    ),
    'empty mask': (
        set_entry('annotations', 1, segmentation=[]),
        [*SECOND, 'segmentation', 'found', []],
    ),
    'polygon of two points': (
        set_entry('annotations', 1, segmentation=[[4, 5, 14, 5]]),
        [*SECOND, 'segmentation[0]', 3, 'found', 4],
    ),
    'odd polygon': (
        set_entry('annotations', 1, segmentation=[[4, 5, 14, 5, 14, 17, 4]]),
        [*SECOND, 'segmentation[0]', 3, 'found', 7],
    ),
    'NaN in polygon': (
        set_entry('annotations', 1, segmentation=[[4, 5, math.nan, 5, 14, 17]]),
        [*SECOND, 'segmentation[0]', 'finite', 'found', [4, 5, math.nan, 5, 14, 17]],
    ),
    'polygon not in a list': (
        set_entry('annotations', 1, segmentation=[4, 5, 14, 5, 14, 17]),
        [*SECOND, 'segmentation[0]', 'list', 'found', 4],
    ),
    'RLE of another size': (
        set_entry('annotations', 1, segmentation=rle(MASK.T)),
        [*SECOND, 'segmentation.size', [40, 60], 'found', [60, 40]],
    ),
    'RLE that ends early': (
        set_entry('annotations', 1, segmentation=rle(MASK[:, :50], size=[40, 60])),
        [*SECOND, 'segmentation.counts', 2400, 'found', 2000],
    ),
    'RLE of junk': (
        set_entry('annotations', 1, segmentation={'size': [40, 60], 'counts': 'né'}),
        [*SECOND, 'segmentation.counts', 2400, 'found', 'broken'],
    ),
    'RLE without counts': (
        set_entry('annotations', 1, segmentation={'size': [40, 60]}),
        [*SECOND, 'segmentation.counts', 2400, 'found', 'none'],
    ),
    'uncompressed RLE too long': (
        set_entry('annotations', 1, segmentation={'size': [40, 60], 'counts': [2000, 500]}),
        [*SECOND, 'segmentation.counts', 2400, 'found', 2500],
    ),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_damaged_entry_is_named(coco_tree, name):
    damage, facts = DAMAGE[name]
    damage(coco_tree.content)
    coco_tree.write()
    with raises_naming(DataError, coco_tree.ann_file, *facts):
        quick_check(coco_tree.config(), 'train_dataloader')
    assert_names(only_error(coco_tree), coco_tree.ann_file, *facts)


@pytest.mark.parametrize(
    ('text', 'facts'),
    [
        ('', ['JSON', 'found', 'empty', '0 bytes']),
        ('{"images": [{"id"', ['JSON', 'found', 'truncated', '17 bytes']),
        ('[1, 2]', ['object', 'images', 'found', 'list']),
        ('\x80', ['JSON', 'found', 'broken', '1 bytes']),
    ],
)
def test_file_that_is_no_annotation_file(coco_tree, text, facts):
    coco_tree.ann_file.write_text(text, encoding='latin-1')
    with raises_naming(DataError, coco_tree.ann_file, *facts):
        read_coco(coco_tree.ann_file)
    assert_names(only_error(coco_tree), coco_tree.ann_file, *facts)


def test_sound_rle_masks_pass(coco_tree):
    counts = [5 + 4 * 40, *[12, 28] * 9, 12, 2400 - 5 - 4 * 40 - 9 * 40 - 12]
    assert sum(counts) == MASK.size
    coco_tree.content['annotations'][0]['segmentation'] = rle(MASK)
    coco_tree.content['annotations'][1]['segmentation'] = {'size': [40, 60], 'counts': counts}
    coco_tree.write()
    assert check_config(coco_tree.config()).errors == []


def test_real_annotations_pass(shared_dir, coco_tree):
    content = json.loads((shared_dir / 'real/coco100/instances_val2014_100.json').read_text())
    for image in content['images']:  # the photographs are not there
        (coco_tree.root / 'images' / image['file_name']).touch()
    coco_tree.content = content
    coco_tree.write()
    report = check_config(coco_tree.config(metainfo=None), read_files=False)
    assert [m for m in report.errors if 'num_classes' not in m and 'can be read' not in m] == []
    train = report.of('train')
    assert train.annotations == 839
    assert train.discarded['crowd'] == 9
    assert train.annotations_used == 830


def test_a_few_damaged_boxes_of_many_are_warnings(coco_tree):
    box = coco_tree.content['annotations'][0]
    coco_tree.content['annotations'] += [{**box, 'id': 100 + k} for k in range(20000)]
    coco_tree.content['annotations'][0]['bbox'] = [4, 5, 0, 12]
    coco_tree.write()
    report = check_config(coco_tree.config(), read_files=False)
    assert report.errors == []
    assert 'annotations[0] (id 1, 0.jpg): bbox' in report.warnings[0]


def test_masks_are_needed_only_where_they_are_read(coco_tree):
    for annotation in coco_tree.content['annotations']:
        del annotation['segmentation']
    coco_tree.write()
    boxes_only = [{'type': 'LoadAnnotations', 'with_bbox': True}]
    assert check_config(coco_tree.config(pipeline=boxes_only)).errors == []
    assert len(check_config(coco_tree.config()).errors) == 6


def test_classes_that_the_file_does_not_know(coco_tree):
    message = only_error(coco_tree, metainfo={'classes': ('Cat', 'dog')})
    assert "expected the config's classes 'Cat' (nearest: 'cat'), found 'cat', 'dog'" in message
    assert "train_dataloader.dataset.metainfo.classes=('cat', 'dog')" in message


def test_forgotten_classes(coco_tree):
    cfg = coco_tree.config(metainfo=None)
    cfg.model.roi_head.bbox_head.num_classes = 80
    (error,) = check_config(cfg).errors
    assert "'person'" in error
    assert 'and 73 more, found' in error
    assert 'metainfo.classes' in error


def test_order_of_classes(coco_tree):
    """Labels follow `metainfo.classes` by name, whatever the order in the file."""
    cfg = coco_tree.config(metainfo={'classes': ('dog', 'cat')})
    assert check_config(cfg).errors == []
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, '_scope_': 'mmdet'})
    labels = [i['bbox_label'] for k in range(3) for i in dataset.get_data_info(k)['instances']]
    categories = [a['category_id'] for a in coco_tree.content['annotations']]
    assert labels == [{4: 0, 3: 1}[category] for category in categories]


def test_category_that_the_config_leaves_out(coco_tree):
    coco_tree.content['categories'].append({'id': 9, 'name': 'owl'})
    coco_tree.content['annotations'][5]['category_id'] = 9
    coco_tree.write()
    report = check_config(coco_tree.config())
    assert report.errors == []
    assert (
        "'owl' are not among the config's classes (metainfo.classes): 1 annotations are left out"
        in report.warnings[0]
    )
    assert report.of('train').discarded == {'other_class': 1}


def test_missing_dataset_is_one_message(tmp_path, coco_tree):
    message = only_error(coco_tree, data_root=str(tmp_path / 'nowhere'))
    assert message.startswith(f'{tmp_path}/nowhere: no such folder')
    for part in ('https://cocodataset.org/#download', 'data/README.md', '--sample'):
        assert part in message


def test_missing_annotation_file_and_image_folder(coco_tree):
    message = only_error(coco_tree, ann_file='annotations/other.json')
    assert 'other.json: no such annotation file' in message
    assert 'holds annotations, images' in message
    message = only_error(coco_tree, data_prefix={'img': 'train2017/'})
    assert 'train2017: no such image folder' in message


@pytest.mark.parametrize('loader', ['train', 'val'])
def test_ids_are_whole_numbers_in_training_and_in_scoring(coco_tree, loader):
    for image in coco_tree.content['images']:
        image.update(id=float(image['id']), width=float(image['width']))
    for annotation in coco_tree.content['annotations']:
        annotation.update(category_id=float(annotation['category_id']), iscrowd=False)
    coco_tree.write()
    assert check_config(coco_tree.config(loader)).errors == []
    assert InstanceMetric(str(coco_tree.ann_file), metric='segm').truth.imgs.keys() == {7, 8, 9}
    coco_tree.content['images'][0]['id'] = 'a7'
    coco_tree.write()
    facts = [coco_tree.ann_file, 'images[0]', 'id', 'int', 'found', "'a7'"]
    assert_names(only_error(coco_tree, loader), *facts)
    with raises_naming(DataError, *facts):
        InstanceMetric(str(coco_tree.ann_file))


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_encodings_are_read_in_training_and_in_scoring(coco_tree, encoding):
    coco_tree.ann_file.write_text(json.dumps(coco_tree.content), encoding=encoding)
    assert check_config(coco_tree.config()).errors == []
    cfg = coco_tree.config()
    assert len(DATASETS.build({**cfg.train_dataloader.dataset, '_scope_': 'mmdet'})) == 3
    assert len(InstanceMetric(str(coco_tree.ann_file)).truth.anns) == 6


def test_one_broken_file_in_two_dataloaders(coco_tree):
    coco_tree.content['annotations'][0]['bbox'] = None
    coco_tree.write()
    cfg = coco_tree.config()
    cfg.val_dataloader = {'dataset': coco_tree.dataset(test_mode=True)}
    report = check_config(cfg)
    assert len(report.errors) == 1
    assert 'train, val: field' in str(report)
    assert [d['loader'] for d in report.to_dict()['datasets'] if d['errors']] == ['train', 'val']


def test_images_without_ground_truth(coco_tree):
    del coco_tree.content['annotations']
    coco_tree.write()
    report = check_config(coco_tree.config('test'))
    assert report.errors == []
    assert 'predictions only' in report.warnings[0]
    assert "expected a list 'annotations'" in only_error(coco_tree, 'val')


def test_a_class_that_the_validation_lacks_is_a_warning(coco_tree):
    coco_tree.content['categories'] = [{'id': 4, 'name': 'dog'}]
    for annotation in coco_tree.content['annotations']:
        annotation['category_id'] = 4
    coco_tree.write()
    cfg = coco_tree.config('val', test_mode=True)
    report = check_config(cfg)
    assert report.errors == []
    assert 'class_absent' in {finding.kind for finding in report.findings('warning')}
    dataset = DATASETS.build({**cfg.val_dataloader.dataset, '_scope_': 'mmdet'})
    labels = {i['bbox_label'] for k in range(3) for i in dataset.get_data_info(k)['instances']}
    assert labels == {1}  # that of dog, though the file has no other class
    assert 'cat' in only_error(coco_tree, 'train')


def test_masks_of_classes_that_are_left_out_need_not_be(coco_tree):
    coco_tree.content['categories'].append({'id': 9, 'name': 'keypoints'})
    coco_tree.content['annotations'][0].update(category_id=9, segmentation=[])
    coco_tree.write()
    report = check_config(coco_tree.config())
    assert report.errors == []
    assert report.of('train').annotations_used == 5


def test_a_list_that_stands_there_twice_is_told(coco_tree):
    text = json.dumps(coco_tree.content)
    second = json.dumps(coco_tree.content['annotations'][:2])
    coco_tree.ann_file.write_text(f'{text[:-1]}, "annotations": {second}}}')
    message = only_error(coco_tree)
    assert_names(message, coco_tree.ann_file, "'annotations'", 'once', 2, 'last')
    with raises_naming(DataError, coco_tree.ann_file, "'annotations'", 'once', 2):
        InstanceMetric(str(coco_tree.ann_file))


def test_words_that_are_like_the_lists_are_no_lists(coco_tree):
    coco_tree.content['info'] = {'images': 3, 'annotations': 6, 'about': '"images"'}
    coco_tree.write()
    assert check_config(coco_tree.config()).errors == []


def test_classes_are_suggested_once(coco_tree):
    coco_tree.content['categories'] = [{'id': k, 'name': 'owl'} for k in (3, 4)]
    coco_tree.write()
    errors = check_config(coco_tree.config()).errors
    assert any("metainfo.classes=('owl',)" in message for message in errors)
