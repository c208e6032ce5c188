"""Masks against boxes, boxes against pictures, doubled entries: by hand, and on real files."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastvit_dense.datasets.check.coco_rules import plausibility_findings, structure_findings
from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.datasets.formats.coco import read_coco
from tests.facts import assert_names

WIDTH, HEIGHT = 60, 40
BOX = [4.0, 5.0, 10.0, 12.0]


def content(*masks, boxes=None, **fields):
    """One picture with an object for each mask, at BOX unless told otherwise."""
    boxes = boxes or [BOX] * len(masks)
    return {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'width': WIDTH, 'height': HEIGHT}],
        'categories': [{'id': 1, 'name': 'cat'}],
        'annotations': [
            {'id': k, 'image_id': 1, 'category_id': 1, 'bbox': box, 'area': 120}
            | {'segmentation': mask, **fields}
            for k, (mask, box) in enumerate(zip(masks, boxes, strict=True))
        ],
    }


def rectangle(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def code(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {'size': encoded['size'], 'counts': encoded['counts'].decode()}


def box_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:17, 4:14] = 1
    return mask


def row_major():
    runs = np.flatnonzero(np.diff(np.concatenate([[0], box_mask().ravel(), [0]])))
    counts = np.diff(np.concatenate([[0], runs, [WIDTH * HEIGHT]])).tolist()
    return {'size': [HEIGHT, WIDTH], 'counts': counts}


MISSES = {
    'normalised': rectangle(4 / 60, 5 / 40, 10 / 60, 12 / 40),
    'scaled by 2': rectangle(8, 10, 20, 24),
    'scaled by a half': rectangle(2, 2.5, 5, 6),
    'mirrored': rectangle(60 - 14, 5, 10, 12),
    'upside down': rectangle(4, 40 - 17, 10, 12),
    'relative to the box': rectangle(0, 0, 10, 12),
    'of another object': rectangle(30, 20, 10, 12),
    'polygon on a line': [[4, 5, 14, 17, 9, 11]],
    'empty code': code(0 * box_mask()),
    'inverted code': code(1 - box_mask()),
    'row-major code': row_major(),
}


@pytest.mark.parametrize('name', MISSES)
def test_masks_that_miss_their_box(name):
    data = content(MISSES[name])
    assert structure_findings(data, 'a.json', with_masks=True) == []
    (finding,) = plausibility_findings(data, 'a.json', with_masks=True)
    assert (finding.severity, finding.kind) == ('error', 'mask_box_mismatch')
    assert_names(
        finding, 'a.json: annotations[0] (id 0, a.jpg)', 'segmentation', '4, 5, 14, 17', 'found'
    )
    assert plausibility_findings(data, 'a.json', with_masks=False) == []


@pytest.mark.parametrize(
    'mask',
    [rectangle(*BOX), code(box_mask()), [*rectangle(4, 5, 3, 3), *rectangle(9, 12, 5, 5)]],
    ids=['polygon', 'code', 'two parts'],
)
def test_masks_in_their_box(mask):
    assert plausibility_findings(content(mask), 'a.json', with_masks=True) == []


@pytest.mark.parametrize(('total', 'severity'), [(10, 'error'), (11, 'warning')])
def test_one_miss_in_ten_is_an_error(total, severity):
    boxes = [[k, 5, 10, 12] for k in range(total)]
    masks = [rectangle(*box) for box in boxes]
    masks[3] = MISSES['normalised']
    findings = plausibility_findings(content(*masks, boxes=boxes), 'a.json', with_masks=True)
    assert [finding.severity for finding in findings] == [severity]


@pytest.mark.parametrize(
    ('box', 'kinds'),
    [
        ([50.4, 5, 10, 12], []),  # rounding
        ([52, 5, 10, 12], ['warning']),
        ([55, 5, 10, 12], ['warning']),  # exactly a half
        ([55.5, 5, 10, 12], ['error']),
        ([-6, 5, 10, 12], ['error']),
        ([4, 36, 10, 12], ['error']),
        ([-100, -100, 400, 400], ['error']),
    ],
)
@pytest.mark.parametrize('with_masks', [False, True])
def test_boxes_that_leave_the_picture(box, kinds, with_masks):
    data = content(rectangle(*box), boxes=[box])
    found = plausibility_findings(data, 'a.json', with_masks=with_masks)
    assert [finding.severity for finding in found] == kinds
    assert {finding.kind for finding in found} <= {'outside'}


def test_what_is_clipped_is_counted():
    boxes = [[50.0 + k, 5, 10, 12] for k in range(4)]
    data = content(*(rectangle(*box) for box in boxes), boxes=boxes)
    (finding,) = plausibility_findings(data, 'a.json', with_masks=True)
    assert_names(finding, 'a.json', '3 boxes or polygons', '3.0 pixels', 'id 3', 'clipped')


def test_polygon_that_leaves_the_picture():
    data = content(rectangle(30, 5, 100, 12), boxes=[[30, 5, 30, 12]])
    (finding,) = plausibility_findings(data, 'a.json', with_masks=True)
    assert_names(finding, 'segmentation', '60x40', 'found', 30, 130, '70%')


@pytest.mark.parametrize(
    ('flag', 'value', 'good'),
    [
        ('iscrowd', 1, True),
        ('iscrowd', False, True),
        ('iscrowd', 0.0, True),
        ('iscrowd', '0', False),
        ('iscrowd', 2, False),
        ('iscrowd', None, False),
        ('ignore', True, True),
        ('ignore', 0.5, False),
    ],
)
def test_flags(tmp_path, flag, value, good):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content(rectangle(*BOX), **{flag: value})))
    found = structure_findings(read_coco(path), 'a.json', with_masks=True)
    assert not found if good else found[0].kind == flag.removeprefix('is')
    if not good:
        assert_names(found[0], flag, '0 or 1', 'found', repr(value))


def test_pictures_of_the_training_in_the_validation(coco_tree):
    cfg = coco_tree.config()
    copied = coco_tree.root / 'val' / 'other.jpg'
    copied.parent.mkdir()
    copied.write_bytes(coco_tree.images[1].read_bytes())
    other = {**coco_tree.content, 'images': [{**coco_tree.content['images'][1]}]}
    other['images'][0]['file_name'] = 'other.jpg'
    other['annotations'] = [a for a in coco_tree.content['annotations'] if a['image_id'] == 8]
    (coco_tree.root / 'val.json').write_text(json.dumps(other))
    val = {'ann_file': 'val.json', 'data_prefix': {'img': 'val/'}, 'test_mode': True}
    cfg.val_dataloader = {'dataset': coco_tree.dataset(**val)}
    (warning,) = check_config(cfg).findings('warning')
    assert warning.kind == 'train_and_val'
    assert_names(warning, '1 of 1 pictures', copied, 'training', coco_tree.images[1])
    assert check_config(cfg, read_files=False).warnings == []  # bytes are read in the full check
    cfg.val_dataloader.dataset = coco_tree.dataset(test_mode=True)
    assert '3 of 3 pictures' in check_config(cfg, read_files=False).warnings[0]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_real_annotations_raise_no_alarm(shared_dir, split):
    path = shared_dir / f'real/coco_mini/annotations/instances_{split}2017.json'
    data = read_coco(path)
    assert structure_findings(data, str(path), with_masks=True) == []
    assert plausibility_findings(data, str(path), with_masks=True) == []


@pytest.mark.parametrize(
    ('areas', 'count'),
    [
        ([120.0] * 20, 0),
        ([1.0] + [120.0] * 19, 0),
        ([1.0] * 2 + [120.0] * 18, 2),
        ([0.05] * 20, 20),
        ([1e9] + [120.0] * 19, 1),
        ([179.0] * 20, 0),
    ],
)
def test_areas_beside_their_boxes(areas, count):
    data = content(
        *[rectangle(k, 5, 10, 12) for k in range(20)], boxes=[[k, 5, 10, 12] for k in range(20)]
    )
    for annotation, area in zip(data['annotations'], areas, strict=True):
        annotation['area'] = area
    findings = plausibility_findings(data, 'a.json', with_masks=False)
    areas = [finding for finding in findings if finding.kind == 'area']
    assert [finding.severity for finding in areas] == ['warning'] * bool(count)
    if count:
        assert_names(areas[0], 'a.json', f'{count} of 20', 'annotations[0]', 120, 'convert-data')
