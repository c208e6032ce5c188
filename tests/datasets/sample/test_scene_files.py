import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from fastvit_dense.datasets.sample import scene_files as sample
from fastvit_dense.datasets.sample.scene_files import (
    SAMPLE_CLASSES,
    SAMPLE_SEMANTIC_CLASSES,
    SAMPLE_SEMANTIC_PALETTE,
    make_sample_data,
    mask_to_polygons,
)
from fastvit_dense.errors import DataError
from tests.facts import raises_naming


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return make_sample_data(tmp_path_factory.mktemp('data') / 'sample')


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(sample, 'SPLITS', {'train': 3, 'val': 2})


def files(root):
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    }


@pytest.mark.parametrize(
    ('split', 'count'), [pytest.param('train', 200, marks=pytest.mark.slow), ('val', 50)]
)
def test_coco_annotations_are_exact(data, split, count):
    coco = COCO(data / f'coco/annotations/instances_{split}2017.json')
    assert len(coco.imgs) == count
    assert tuple(c['name'] for c in coco.dataset['categories']) == SAMPLE_CLASSES
    assert {a['category_id'] for a in coco.anns.values()} == set(range(1, len(SAMPLE_CLASSES) + 1))
    for image_id, image in coco.imgs.items():
        with Image.open(data / f'coco/{split}2017' / image['file_name']) as picture:
            assert picture.size == (image['width'], image['height'])
        annotations = coco.imgToAnns[image_id]
        assert 2 <= len(annotations) <= 6
        masks = [coco.annToMask(a) for a in annotations]
        assert np.sum(masks, axis=0).max() == 1  # the visible parts do not overlap
        for annotation, mask in zip(annotations, masks, strict=True):
            rows, cols = np.nonzero(mask)
            assert annotation['area'] == len(rows)
            x, y = cols.min(), rows.min()
            assert annotation['bbox'] == [x, y, cols.max() + 1 - x, rows.max() + 1 - y]
            assert annotation['iscrowd'] == 0


def test_class_maps_show_the_same_scenes(data):
    coco = COCO(data / 'coco/annotations/instances_val2017.json')
    base = data / 'ade20k/ADEChallengeData2016'
    seen = set()
    for index, (image_id, image) in enumerate(sorted(coco.imgs.items()), 1):
        stem = f'validation/ADE_val_{index:08d}'
        twin = data / 'coco/val2017' / image['file_name']
        assert (base / f'images/{stem}.jpg').read_bytes() == twin.read_bytes()
        labels = cv2.imread(str(base / f'annotations/{stem}.png'), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        assert labels.ndim == 2
        seen |= set(np.unique(labels))
        things = np.zeros_like(labels)
        for annotation in coco.imgToAnns[image_id]:
            name = coco.cats[annotation['category_id']]['name']
            things[coco.annToMask(annotation) == 1] = SAMPLE_SEMANTIC_CLASSES.index(name) + 1
        scored = labels > 0
        is_thing = labels > len(SAMPLE_SEMANTIC_CLASSES) - len(SAMPLE_CLASSES)
        assert np.array_equal(labels[is_thing], things[is_thing])
        assert not things[scored & ~is_thing].any()
        assert 0.005 < (labels == 0).mean() < 0.2
    assert seen == set(range(len(SAMPLE_SEMANTIC_CLASSES) + 1))
    assert len(SAMPLE_SEMANTIC_PALETTE) == len(SAMPLE_SEMANTIC_CLASSES)
    assert len(set(SAMPLE_SEMANTIC_PALETTE)) == len(SAMPLE_SEMANTIC_PALETTE)


def test_layout_is_the_official_one(data):
    assert {
        'coco/annotations/instances_train2017.json',
        'coco/train2017/000000000001.jpg',
        'coco/val2017/000000000201.jpg',
        'coco/SOURCES.md',
        'ade20k/ADEChallengeData2016/images/training/ADE_train_00000200.jpg',
        'ade20k/ADEChallengeData2016/annotations/validation/ADE_val_00000050.png',
        'ade20k/SOURCES.md',
    } <= files(data)
    assert sorted(os.listdir(data)) == ['ade20k', 'coco']


def test_same_bytes_on_every_run_and_for_every_choice_of_tasks(few, tmp_path):
    first = make_sample_data(tmp_path / 'a')
    second = make_sample_data(tmp_path / 'b', trees=['ade20k'])
    make_sample_data(second, trees=['coco'])
    assert files(first) == files(second)
    for name in files(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_kept_while_up_to_date_and_remade_by_a_newer_version(few, tmp_path, monkeypatch):
    root = make_sample_data(tmp_path)
    image = root / 'coco/train2017/000000000001.jpg'
    image.write_bytes(b'')
    make_sample_data(root)
    assert not image.read_bytes()
    make_sample_data(root, force=True)
    assert image.read_bytes()
    image.write_bytes(b'')
    stamp = json.loads((root / 'coco' / sample.STAMP).read_text())
    monkeypatch.setattr(sample, 'VERSION', stamp['version'] + 1)
    make_sample_data(root)
    assert image.read_bytes()
    assert sorted(os.listdir(root)) == ['ade20k', 'coco']


def test_interrupted_generation_leaves_nothing(few, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, 'mask_to_polygons', interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_sample_data(tmp_path)
    assert os.listdir(tmp_path) == []


def test_another_process_that_was_faster_is_accepted(few, tmp_path, monkeypatch):
    photo_sources = sample.photo_sources  # asked for when the pictures are written

    def be_overtaken():
        monkeypatch.setattr(sample, 'photo_sources', photo_sources)
        make_sample_data(tmp_path)
        first.append((tmp_path / 'coco').stat().st_ino)
        return photo_sources()

    first = []
    monkeypatch.setattr(sample, 'photo_sources', be_overtaken)
    make_sample_data(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['ade20k', 'coco']
    assert (tmp_path / 'coco').stat().st_ino == first[0]  # others may read it already


def test_real_data_of_that_name_is_left_alone(few, tmp_path):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco' / 'precious.jpg').write_bytes(b'x')
    for force in (False, True):
        with raises_naming(DataError, tmp_path / 'coco', 'sample.json', 'left alone'):
            make_sample_data(tmp_path, force=force)
    assert files(tmp_path) == {'coco/precious.jpg'}


def shapes():
    rng = np.random.default_rng(0)
    ring = np.zeros((12, 15), bool)
    ring[2:10, 3:12] = True
    ring[4:7, 5:8] = False
    island = ring.copy()
    island[5, 6] = True
    pixel = np.zeros((5, 5), bool)
    pixel[4, 4] = True
    corner = np.eye(4, dtype=bool)
    yield from (ring, island, pixel, corner, np.ones((7, 3), bool), np.zeros((3, 3), bool))
    yield from (rng.random((h, w)) < p for h in (1, 2, 9) for w in (1, 5, 11) for p in (0.3, 0.7))


@pytest.mark.parametrize('mask', list(shapes()), ids=lambda m: 'x'.join(map(str, m.shape)))
def test_polygons_give_back_the_exact_mask(mask):
    polygons = mask_to_polygons(mask)
    if not mask.any():
        assert polygons == []
        return
    assert all(len(polygon) >= 6 for polygon in polygons)
    decoded = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape)))
    assert np.array_equal(decoded, mask)
