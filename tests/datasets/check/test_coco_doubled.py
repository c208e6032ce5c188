"""Objects that are annotated twice: as they are, a little moved, or under two classes."""

import itertools
import json

import numpy as np
import pytest

from fastvit_dense.datasets.check.coco_doubled import SAME_BOX, coinciding_boxes, doubled_findings
from fastvit_dense.datasets.formats.coco import read_coco
from tests.facts import assert_names


def content(*objects):
    """A file of one picture; an object is a box and a category."""
    annotations = [
        {'id': k, 'image_id': 1, 'category_id': category, 'bbox': list(box), 'iscrowd': 0}
        for k, (box, category) in enumerate(objects)
    ]
    categories = [{'id': 3, 'name': 'cat'}, {'id': 4, 'name': 'dog'}]
    images = [{'id': 1, 'file_name': 'a.jpg', 'height': 400, 'width': 600}]
    return {'images': images, 'annotations': annotations, 'categories': categories}


def messages(data):
    found = list(doubled_findings(data, 'a.json'))
    assert {finding.severity for finding in found} <= {'warning'}
    return [str(finding) for finding in found]


BOX, MOVED, OTHER = (40, 50, 100, 120), (41, 50, 100, 121), (44, 52, 96, 110)


def test_the_same_entry():
    data = content((BOX, 3), (OTHER, 3), (BOX, 3), (BOX, 3))
    for annotation in data['annotations']:
        annotation['segmentation'] = [[40, 50, 140, 50, 140, 170]]
    data['images'].append({**data['images'][0], 'id': 2, 'file_name': './a.jpg'})
    second, third, picture = messages(data)
    assert_names(second, 'annotations[2] (id 2, a.jpg)', 'the same as id 0')
    assert_names(third, 'annotations[3] (id 3, a.jpg)', 'the same as id 0')
    assert_names(picture, 'images', 'a.jpg', '2 ids')


def test_boxes_that_differ_by_a_little():
    (message,) = messages(content((BOX, 3), (MOVED, 3), (OTHER, 3), (OTHER, 4)))[:1]
    assert_names(message, 'a.json', '1 of 4 annotations', '0.95', 'id 0 and id 1')
    data = content((BOX, 3), (BOX, 3))
    for annotation, corner in zip(data['annotations'], (140, 139), strict=True):
        annotation['segmentation'] = [[40, 50, corner, 50, 140, 170]]
    assert_names(*messages(data), '1 of 2 annotations', 'id 0 and id 1')
    data['annotations'][0]['iscrowd'] = 1
    assert messages(data) == []


def test_every_object_under_two_classes():
    boxes = [(10 * k, 5 * k, 40, 50) for k in range(20)]
    (message,) = messages(content(*((box, c) for box in boxes for c in (3, 4))))
    assert_names(message, '20 of 40 annotations', 'id 0 and id 1', "'cat' and 'dog' (20)")


@pytest.mark.parametrize(('total', 'told'), [(99, True), (100, False)])
def test_one_object_of_many_under_two_classes(total, told):
    objects = [((3 * k, 3 * k, 40, 50), 3) for k in range(total - 1)]
    assert bool(messages(content(*objects, (objects[0][0], 4)))) == told


def overlap(a, b):
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    shared = max(min(ax + aw, bx + bw) - max(ax, bx), 0) * max(
        min(ay + ah, by + bh) - max(ay, by), 0
    )
    return shared / (aw * ah + bw * bh - shared)


def test_pairs_are_those_of_all_pairs_compared():
    """Clusters of boxes around a few, in three pictures, in a random order."""
    rng = np.random.default_rng(0)
    middles = rng.uniform([0, 0, 40, 40], [300, 300, 340, 340], (6, 4))
    boxes = middles[rng.integers(6, size=150)] + rng.normal(0, 2, (150, 4))
    images = rng.integers(3, size=150)
    annotations = [
        {'image_id': int(i), 'bbox': box.tolist()} for i, box in zip(images, boxes, strict=True)
    ]
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(150), 2)
        if images[i] == images[j] and overlap(boxes[i], boxes[j]) >= SAME_BOX
    ]
    assert len(expected) > 50
    assert coinciding_boxes(annotations) == expected


def test_many_boxes_in_one_place_take_no_time():
    """Not one finding for each pair of 3,000."""
    data = content(*[(BOX, 3)] * 3000)
    for k, annotation in enumerate(data['annotations']):
        annotation['segmentation'] = [[40, 50, 140, 50, 140, 170 - k / 3000]]
    (message,) = messages(data)
    assert_names(message, '2999 of 3000 annotations')


@pytest.mark.parametrize('split', ['train2017', 'val2017'])
def test_real_annotations(shared_dir, split):
    """No alarm as they are; all of them where each stands there twice."""
    path = shared_dir / 'real' / 'coco_mini' / 'annotations' / f'instances_{split}.json'
    if not path.is_file():
        pytest.skip('no shared/real')
    data = read_coco(path)
    assert messages(data) == []
    objects = [a for a in data['annotations'] if not a.get('iscrowd')]
    other = {c['id']: data['categories'][k - 1]['id'] for k, c in enumerate(data['categories'])}
    twice = [{**a, 'id': -a['id'], 'category_id': other[a['category_id']]} for a in objects]
    both = {**data, 'annotations': json.loads(json.dumps(data['annotations'] + twice))}
    message = messages(both)[-1]
    assert_names(message, f'of {len(both["annotations"])} annotations', 'under two classes')
    assert int(message.split(' ')[1]) >= len(objects)
