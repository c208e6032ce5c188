"""`convert-data`: what is written, read by pycocotools and Pillow, is what was drawn."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from fastvit_dense.datasets.conversion import convert_data
from fastvit_dense.datasets.formats.recognising import read_folder
from fastvit_dense.errors import DataError

from .formats import annotated
from .formats.test_recognising import BOXES, CORNERS


def annotations_of(folder):
    """Picture's stem -> (class, annotation), of all splits."""
    found = {}
    for path in sorted((folder / 'annotations').glob('*.json')):
        coco = COCO(str(path))
        for image in coco.imgs.values():
            assert (folder / 'images' / path.stem / image['file_name']).is_file()
            found[image['file_name'].partition('.')[0]] = [
                (coco.cats[a['category_id']]['name'], a) for a in coco.imgToAnns[image['id']]
            ]
    return found


@pytest.mark.parametrize('tool', CORNERS)
def test_corners_are_kept(tool, tmp_path):
    CORNERS[tool][0](tmp_path / 'source')
    _, report = convert_data(tmp_path / 'source', tmp_path / 'out')
    assert report.errors == []
    found = annotations_of(tmp_path / 'out')
    for name, drawn in annotated.POLYGONS.items():
        assert [label for label, _ in found[name]] == [label for label, _ in drawn]
        for (_, annotation), (_, ring) in zip(found[name], drawn, strict=True):
            np.testing.assert_allclose(annotation['segmentation'], [ring], atol=0.01)
    again = read_folder(tmp_path / 'out')
    assert again.kind == 'COCO'
    assert {p.split for p in again.pictures} >= {'train', 'val'}


def test_polygons_that_miss_their_boxes_are_told(tmp_path):
    content = annotated.coco(tmp_path / 'source')
    for annotation in content['annotations']:
        ring = annotation['segmentation'][0]
        annotation['segmentation'] = [[value / 200 for value in ring]]
    annotated.write_json(tmp_path / 'source' / 'a.json', content)
    _, report = convert_data(tmp_path / 'source', tmp_path / 'out')
    kinds = {finding.kind for dataset in report.datasets for finding in dataset.findings}
    assert 'mask_box_mismatch' in kinds
    assert report.errors


@pytest.mark.parametrize('tool', BOXES)
def test_boxes_are_kept(tool, tmp_path):
    BOXES[tool][0](tmp_path / 'source')
    convert_data(tmp_path / 'source', tmp_path / 'out')
    found = annotations_of(tmp_path / 'out')
    for name, drawn in annotated.boxes().items():
        for (_, annotation), (_, box) in zip(found[name], drawn, strict=True):
            x, y, width, height = annotation['bbox']
            np.testing.assert_allclose([x, y, x + width, y + height], box, atol=0.01)
            assert annotation['segmentation'] == []


def test_run_length_codes_and_fields_of_coco_are_kept(tmp_path):
    content = annotated.coco(tmp_path / 'source')
    content['annotations'][0] |= {
        'segmentation': {'size': [90, 120], 'counts': [900, 90, 9810]},
        'iscrowd': 1,
        'track_id': 5,
    }
    content['annotations'][1]['segmentation'] += [[1, 2, 3.5, 2, 3.5, 9]]
    annotated.write_json(tmp_path / 'source' / 'a.json', content)
    convert_data(tmp_path / 'source', tmp_path / 'out')
    first, second = (a for _, a in annotations_of(tmp_path / 'out')['a'])
    assert first['segmentation'] == content['annotations'][0]['segmentation']
    assert (first['iscrowd'], first['track_id']) == (1, 5)
    assert second['segmentation'] == content['annotations'][1]['segmentation']


def test_polygons_become_masks(tmp_path):
    annotated.labelme(tmp_path / 'source')
    found, report = convert_data(tmp_path / 'source', tmp_path / 'out', to='masks')
    assert report.errors == []
    assert found.mask_classes == ('background', 'hex nut', 'screw')
    content = json.loads((tmp_path / 'out' / 'classes.json').read_text())
    assert content['classes'] == ['background', 'hex nut', 'screw']
    from pycocotools import mask as coco_mask

    for path in (tmp_path / 'out' / 'masks').rglob('*.png'):
        labels = np.asarray(Image.open(path))
        expected = np.zeros_like(labels)
        for label, ring in annotated.POLYGONS[path.stem]:
            code = coco_mask.merge(coco_mask.frPyObjects([ring], *labels.shape))
            expected[coco_mask.decode(code) > 0] = content['classes'].index(label)
        np.testing.assert_array_equal(labels, expected)


def test_boxes_among_polygons_fill_masks(tmp_path):
    """YOLO lets a line be either; a box that leaves the picture ends at its edge."""
    annotated.yolo(tmp_path / 'source')
    path = tmp_path / 'source/train/labels/b.txt'
    path.write_text('0 0.5 0.5 0.2 0.4\n1 0.95 0.5 0.2 0.2\n')
    convert_data(tmp_path / 'source', tmp_path / 'out', 'masks')
    mask = np.asarray(Image.open(tmp_path / 'out/masks/train/b.png'))
    height, width = mask.shape
    assert (mask == 1).sum() == pytest.approx(0.2 * 0.4 * height * width, rel=0.1)
    assert (mask == 2).sum() == pytest.approx(0.15 * 0.2 * height * width, rel=0.15)
    assert (mask[height // 2, width // 2], mask[height // 2, -1]) == (1, 2)


def test_masks_keep_every_pixel(tmp_path):
    annotated.masks(tmp_path / 'source')
    _, report = convert_data(tmp_path / 'source', tmp_path / 'out')
    assert report.errors == []
    for path in (tmp_path / 'out' / 'masks').rglob('*.png'):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), annotated.class_mask(path.stem))
    assert read_folder(tmp_path / 'out').mask_classes == ('background', 'screw', 'hex nut')


def test_difficult_objects_are_marked(tmp_path):
    annotated.voc(tmp_path / 'source', difficult=(1,))
    _, report = convert_data(tmp_path / 'source', tmp_path / 'out')
    first, second = (a for _, a in annotations_of(tmp_path / 'out')['a'])
    assert 'ignore' not in first
    assert (second['ignore'], second['difficult'], second['truncated']) == (1, '1', '1')
    assert report.of('train').discarded['ignore'] == 1


def test_nothing_partial_and_nothing_lost(tmp_path):
    annotated.labelme(tmp_path / 'source')
    (tmp_path / 'source' / 'a.json').write_text('{"shapes": [')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'x').touch()
    with pytest.raises(DataError, match='no such folder yet'):
        convert_data(tmp_path / 'source', tmp_path / 'full')
    annotated.write_json(tmp_path / 'source' / 'a.json', {'shapes': [{}]})
    with pytest.raises(DataError):
        convert_data(tmp_path / 'source', tmp_path / 'out')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['full', 'source']


@pytest.mark.parametrize(
    ('write', 'to', 'way_out'),
    [(annotated.masks, 'coco', 'semfpn_fastvit'), (annotated.voc, 'masks', 'fasterrcnn_fastvit')],
)
def test_what_a_format_cannot_say_is_refused_with_the_way_out(write, to, way_out, tmp_path):
    write(tmp_path / 'source')
    with pytest.raises(DataError, match=way_out):
        convert_data(tmp_path / 'source', tmp_path / 'out', to=to)


def test_real_masks(shared_dir, tmp_path):
    """CamVid's folders: the split, and the classes by name."""
    found = read_folder(shared_dir / 'real' / 'camvid')
    assert {s: len(found.of(s)) for s in ('train', 'val', 'test')} == dict(
        train=367, val=101, test=233
    )
    assert len(found.mask_classes) == 11


def test_real_annotations(shared_dir):
    """COCO's own folders, crowds included."""
    found = read_folder(shared_dir / 'real' / 'coco_mini')
    assert {s: len(found.of(s)) for s in ('train', 'val')} == dict(train=288, val=158)
    assert found.objects == 2383 + 1424
    assert sum(o.crowd for p in found.pictures for o in p.objects) == 24 + 16
    assert len(found.classes) == 80
