"""What is left of an annotation file for training, against mmdet's own dataset."""

import copy
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset

from fastvit_dense.datasets.check.coco_usage import count_usage
from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.errors import DataError
from tests.facts import assert_names, raises_naming

sides = st.sampled_from([0.2, 0.99, 1, 1.5, 10, 40, 90])


@st.composite
def annotation_files(draw):
    """Sound entries, of which the filters leave out some for every reason."""
    images = [
        {'id': i, 'file_name': f'{i}.jpg', 'height': draw(sizes), 'width': draw(sizes)}
        for i in draw(st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True))
    ]
    annotations = [
        {
            'id': number,
            'image_id': draw(st.sampled_from(images))['id'],
            'category_id': draw(st.integers(1, 3)),
            'bbox': [draw(corners), draw(corners), draw(sides), draw(sides)],
            'area': 10,
            'iscrowd': draw(st.sampled_from([0, 0, 1])),
            **draw(st.sampled_from([{}, {}, {'ignore': 1}, {'ignore': 0}])),
        }
        for number in range(draw(st.integers(0, 8)))
    ]
    names = draw(st.permutations(['a', 'b', 'c']))
    categories = [{'id': k + 1, 'name': name} for k, name in enumerate(names)]
    return {'images': images, 'annotations': annotations, 'categories': categories}


sizes = st.sampled_from([20, 31, 32, 33, 100])
corners = st.sampled_from([-60, -9.5, 0, 10, 19, 99, 150])


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(annotation_files(), st.booleans(), st.sampled_from([0, 32]))
def test_equals_what_mmdet_loads(coco_tree, content, filter_empty_gt, min_size):
    coco_tree.content = copy.deepcopy(content)
    coco_tree.write()
    filters = {'filter_empty_gt': filter_empty_gt, 'min_size': min_size}
    classes = ('b', 'a')
    dataset = CocoDataset(
        ann_file=str(coco_tree.ann_file),
        data_prefix={'img': ''},
        metainfo={'classes': classes},
        filter_cfg=filters,
        serialize_data=False,
        pipeline=[],
    )
    loaded = [dataset.get_data_info(k) for k in range(len(dataset))]
    labels = Counter(
        classes[i['bbox_label']]
        for info in loaded
        for i in info['instances']
        if not i['ignore_flag']
    )
    report = DatasetReport(['train'])
    count_usage(content, classes, filters, report)
    assert report.images_used == len(loaded)
    assert report.per_class == {name: labels[name] for name in classes}
    assert report.annotations_used == sum(labels.values())
    left_out = sum(n for reason, n in report.discarded.items() if reason != 'no_annotation')
    assert left_out == report.annotations - report.annotations_used


def change(tree, **fields):
    for annotation in tree.content['annotations']:
        annotation.update(fields)
    tree.write()


@pytest.mark.parametrize(
    ('fields', 'kind', 'facts'),
    [
        ({'iscrowd': 1}, 'crowd', ['all 6 annotations', 'crowd 6', 'iscrowd=1']),
        ({'ignore': 1}, 'ignore', ['all 6 annotations', 'ignore 6']),
        ({'bbox': [0.1, 0.2, 0.3, 0.4]}, 'below_one_pixel', ['below_one_pixel 6', 'pixels']),
    ],
)
def test_nothing_left_to_train_on(coco_tree, fields, kind, facts):
    change(coco_tree, **fields)
    report = check_config(coco_tree.config(), read_files=False)
    (error,) = report.findings('error')
    assert error.kind == kind
    assert_names(error, coco_tree.ann_file, 'train on', *facts)
    with raises_naming(DataError, coco_tree.ann_file, *facts):
        quick_check(coco_tree.config(), 'train_dataloader')
    assert check_config(coco_tree.config('val')).errors == []  # scored as -1: a warning


def test_pictures_that_are_all_too_small(coco_tree):
    cfg = coco_tree.config(filter_cfg={'filter_empty_gt': True, 'min_size': 100})
    with raises_naming(DataError, 'image_below_min_size 6', 'filter_cfg.min_size'):
        quick_check(cfg, 'train_dataloader')
    cfg.train_dataloader.dataset.test_mode = True  # nothing is filtered
    assert check_config(cfg).of('train').annotations_used == 6


def test_a_class_whose_objects_are_all_left_out(coco_tree):
    for annotation in coco_tree.content['annotations'][1::2]:
        annotation['iscrowd'] = 1
    coco_tree.write()
    report = check_config(coco_tree.config())
    (error,) = report.findings('error')
    assert error.kind == 'class_not_used'
    assert_names(error, "class 'dog'", 'all its 3 annotations', 'crowd 3')
    assert report.of('train').per_class == {'cat': 3, 'dog': 0}


def test_a_class_that_the_file_never_had_and_large_shares(coco_tree):
    for annotation in coco_tree.content['annotations']:
        annotation['category_id'] = 3
    coco_tree.content['annotations'][0]['ignore'] = 1
    coco_tree.content['annotations'][2]['image_id'] = 7
    coco_tree.content['annotations'][3]['image_id'] = 7
    coco_tree.write()
    cfg = coco_tree.config(filter_cfg={'filter_empty_gt': True, 'min_size': 0})
    report = check_config(cfg)
    assert report.errors == []
    kinds = {finding.kind: str(finding) for finding in report.findings('warning')}
    assert "'dog'" in kinds['class_absent']
    assert '1 of 6 annotations are left out' in kinds['ignore']
    assert_names(kinds['no_annotation'], '1 of 3 pictures', 'filter_empty_gt=False')
    assert report.of('train').images_used == 2
