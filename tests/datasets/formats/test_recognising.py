"""Folders of every tool, read: what was drawn comes back, to a hundredth of a pixel."""

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.datasets.formats.mask_folders import read_labels
from fastvit_dense.datasets.formats.recognising import formats, read_folder
from fastvit_dense.errors import DataError, MissingFileError

from . import annotated

CORNERS = {
    'roboflow': (annotated.roboflow, 'COCO'),
    'cvat': (annotated.cvat, 'COCO'),
    'label_studio': (annotated.label_studio, 'COCO'),
    'yolo': (annotated.yolo, 'YOLO'),
    'labelme': (annotated.labelme, 'labelme'),
    'via': (annotated.via, 'VIA'),
    'via_project': (lambda folder: annotated.via(folder, project=True), 'VIA'),
    'via_csv': (annotated.via_csv, 'VIA'),
}
BOXES = {
    'yolo': (lambda folder: annotated.yolo(folder, polygons=False), 'YOLO'),
    'voc': (annotated.voc, 'Pascal VOC'),
    'voc_official': (
        lambda folder: annotated.voc(folder, 'The VOC2007 Database', shift=1),
        'Pascal VOC',
    ),
}


@pytest.mark.parametrize('tool', CORNERS)
def test_polygons_come_back(tool, tmp_path):
    write, kind = CORNERS[tool]
    write(tmp_path)
    found = read_folder(tmp_path)
    assert found.kind == kind
    assert set(found.classes) == set(annotated.CLASSES)
    assert {p.path.stem: p.size for p in found.pictures} == annotated.SIZES
    for picture in found.pictures:
        drawn = annotated.POLYGONS[picture.path.stem]
        assert [o.label for o in picture.objects] == [label for label, _ in drawn]
        for entry, (_, ring) in zip(picture.objects, drawn, strict=True):
            np.testing.assert_allclose(entry.rings, [ring], atol=0.01)
            np.testing.assert_allclose(entry.box, annotated.box_of(ring), atol=0.01)


@pytest.mark.parametrize('tool', BOXES)
def test_boxes_come_back(tool, tmp_path):
    write, kind = BOXES[tool]
    write(tmp_path)
    found = read_folder(tmp_path)
    assert found.kind == kind
    assert found.boxes_alone == found.objects == 4
    for picture in found.pictures:
        drawn = annotated.boxes()[picture.path.stem]
        assert [o.label for o in picture.objects] == [label for label, _ in drawn]
        for entry, (_, box) in zip(picture.objects, drawn, strict=True):
            np.testing.assert_allclose(entry.box, box, atol=0.01)


def test_splits_are_those_of_the_folders(tmp_path):
    annotated.roboflow(tmp_path / 'coco')
    annotated.yolo(tmp_path / 'yolo')
    annotated.voc(tmp_path / 'voc')
    annotated.masks(tmp_path / 'masks')
    expected = {
        'coco': dict(a='train', b='train', c='val', d='test'),
        'yolo': dict(a='train', b='train', c='val', d='train'),
        'voc': dict(a='train', b='train', c='val', d='val'),
        'masks': dict(a='train', b='train', c='val', d='train'),
    }
    for name, splits in expected.items():
        found = read_folder(tmp_path / name)
        assert {p.path.stem: p.split for p in found.pictures} == splits, name


def test_voc_boxes_of_a_picture_before_it_was_turned_are_refused(tmp_path):
    """Without an orientation a swapped size is a habit of tools; with one boxes lie elsewhere."""
    annotated.voc(tmp_path)
    xml, picture = tmp_path / 'Annotations/a.xml', tmp_path / 'JPEGImages/a.jpg'
    text = xml.read_text()
    swapped = text.replace('<width>120</width><height>90<', '<width>90</width><height>120<')
    assert swapped != text
    xml.write_text(swapped)
    assert read_folder(tmp_path).objects == 4
    with Image.open(picture) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(picture, exif=exif)
    assert read_folder(tmp_path).objects == 4, 'the size that is seen'
    xml.write_text(text)
    with pytest.raises(DataError, match=r'a\.xml: size: .*EXIF orientation, 6'):
        read_folder(tmp_path)


def test_annotations_that_are_cut_are_told(tmp_path):
    annotated.write_json(tmp_path / 'all.json', annotated.coco(tmp_path))
    path = tmp_path / 'all.json'
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r'one is broken: .*all\.json: .*looked for as'):
        read_folder(tmp_path)


def test_labels_of_yolo_without_a_picture_are_told(tmp_path):
    annotated.yolo(tmp_path)
    (tmp_path / 'train/images/a.jpg').unlink()
    (note,) = [note for note in read_folder(tmp_path).notes if 'no picture' in note]
    assert note.startswith('1 label files')
    assert 'train/labels/a.txt' in note


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [('nc: 2', 'nc: 5', 'nc: expected 2'), ('hex nut', 'screw', 'expected each class once')],
)
def test_classes_of_yolo_that_contradict_each_other(old, new, words, tmp_path):
    annotated.yolo(tmp_path)
    path = tmp_path / 'data.yaml'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=words):
        read_folder(tmp_path)


def test_a_head_of_categories_is_no_class(tmp_path):
    annotated.roboflow(tmp_path)
    found = read_folder(tmp_path)
    assert found.classes == annotated.CLASSES
    assert "'parts' heads the others" in ' '.join(found.notes)


def test_masks_come_back(tmp_path):
    annotated.masks(tmp_path)
    found = read_folder(tmp_path)
    assert found.mask_classes == ('background', 'screw', 'hex nut')
    for picture in found.pictures:
        labels = read_labels(picture.mask, found.mask_code)
        np.testing.assert_array_equal(labels, annotated.class_mask(picture.path.stem))


def test_masks_of_0_and_255_are_two_classes(tmp_path):
    annotated.masks(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    for path in (tmp_path / 'masks').rglob('*.png'):
        Image.fromarray(np.where(annotated.class_mask(path.stem), 255, 0).astype(np.uint8)).save(
            path
        )
    found = read_folder(tmp_path)
    assert found.mask_classes == ('background', 'foreground')
    labels = read_labels(found.pictures[0].mask, found.mask_code)
    np.testing.assert_array_equal(labels, annotated.class_mask('a') > 0)


def test_masks_of_colours_follow_the_labelmap(tmp_path):
    annotated.masks(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    colors = np.array([[0, 0, 0], [200, 10, 10], [0, 250, 3]], np.uint8)
    for path in (tmp_path / 'masks').rglob('*.png'):
        Image.fromarray(colors[annotated.class_mask(path.stem)]).save(path)
    lines = ['# label:color_rgb:parts:actions', 'hex nut:0,250,3::', 'screw:200,10,10::']
    (tmp_path / 'labelmap.txt').write_text('\n'.join([*lines, 'background:0,0,0::']))
    found = read_folder(tmp_path)
    assert found.mask_classes == ('hex nut', 'screw', 'background')
    labels = read_labels(found.pictures[0].mask, found.mask_code)
    expected = np.array([2, 1, 0])[annotated.class_mask('a')]
    np.testing.assert_array_equal(labels, expected)
    (tmp_path / 'labelmap.txt').write_text('\n'.join(lines))
    with pytest.raises(DataError, match=r'named colours, found \(0, 0, 0\)'):
        read_folder(tmp_path)


def test_names_of_masks_may_differ_by_a_word(tmp_path):
    annotated.save_picture(tmp_path / 'train' / 'a.jpg', 'a')
    annotated.save_picture(tmp_path / 'train' / 'b.jpg', 'b')
    for name in 'ab':
        Image.fromarray(annotated.class_mask(name)).save(tmp_path / 'train' / f'{name}_mask.png')
    (tmp_path / 'train' / '_classes.csv').write_text('Pixel Value, Class\n0, bg\n1, s\n2, n\n')
    found = read_folder(tmp_path)
    assert found.mask_classes == ('bg', 's', 'n')
    assert [(p.path.name, p.mask.name) for p in found.pictures] == [
        ('a.jpg', 'a_mask.png'),
        ('b.jpg', 'b_mask.png'),
    ]


def test_object_and_class_masks_of_voc(tmp_path):
    annotated.voc(tmp_path, difficult=(1,))
    for folder, values in (('SegmentationObject', (1, 2)), ('SegmentationClass', (1, 2))):
        mask = np.zeros(annotated.SIZES['a'], np.uint8)
        mask[12:40, 12:50], mask[30:70, 70:100] = values
        mask[20:25, 20:25] = 0  # a hole
        mask[0, :] = 255
        (tmp_path / folder).mkdir()
        Image.fromarray(mask).save(tmp_path / folder / 'a.png')
    (tmp_path / 'labelmap.txt').write_text('background:0,0,0::\nscrew:9,0,0::\nhex nut:8,0,0::')
    found = read_folder(tmp_path)
    from pycocotools import mask as coco_mask

    first, second = next(p for p in found.pictures if p.path.stem == 'a').objects
    pixels = coco_mask.decode(first.rle)
    assert pixels.sum() == 28 * 38 - 25
    assert pixels[22, 22] == 0
    assert (first.ignore, second.ignore) == (False, True)
    assert second.extra['difficult'] == '1'
    assert any('difficult' in note for note in found.notes)


def test_shapes_of_labelme(tmp_path):
    """Rectangles are boxes, circles and masks have outlines, groups are one object."""
    import base64
    import io

    annotated.save_picture(tmp_path / 'a.jpg', 'a')
    ring = Image.new('1', (10, 8), 1)
    ring.putpixel((5, 5), 0)
    buffer = io.BytesIO()
    ring.save(buffer, 'PNG')
    shapes = [
        dict(label='r', points=[[30.5, 40], [10, 20]], shape_type='rectangle'),
        dict(label='c', points=[[50, 50], [53, 54]], shape_type='circle'),
        dict(
            label='m',
            points=[[20, 30], [29, 37]],
            shape_type='mask',
            mask=base64.b64encode(buffer.getvalue()).decode(),
        ),
        dict(label='g', points=[[1, 1], [5, 1], [5, 5]], group_id=3),
        dict(label='g', points=[[11, 1], [15, 1], [15, 5]], group_id=3),
        dict(label='p', points=[[1, 1]], shape_type='point'),
    ]
    annotated.write_json(tmp_path / 'a.json', dict(shapes=shapes, imagePath='..\\x\\a.jpg'))
    found = read_folder(tmp_path)
    rectangle, circle, mask, group = found.pictures[0].objects
    assert rectangle.box == (10, 20, 30.5, 40)
    assert rectangle.drawn_as_box
    points = np.reshape(circle.rings[0], (-1, 2))
    np.testing.assert_allclose(np.hypot(*(points - 50).T), 5)
    assert mask.box == (20, 30, 30, 38)
    assert len(group.rings) == 2
    assert group.box == (1, 1, 15, 5)
    assert "1 shapes of type 'point' have no area: left out" in found.notes


def test_shapes_of_via(tmp_path):
    annotated.save_picture(tmp_path / 'a.jpg', 'a')
    shapes = [
        dict(name='rect', x=3, y=4, width=10.5, height=6),
        dict(name='circle', cx=40, cy=40, r=7),
        dict(name='ellipse', cx=60, cy=40, rx=20, ry=5, theta=np.pi / 2),
        dict(name='point', cx=1, cy=1),
    ]
    regions = {str(k): dict(shape_attributes=s, region_attributes={}) for k, s in enumerate(shapes)}
    annotated.write_json(tmp_path / 'via.json', {'a.jpg1': dict(filename='a.jpg', regions=regions)})
    found = read_folder(tmp_path)
    box, circle, ellipse = found.pictures[0].objects
    assert box.box == (3, 4, 13.5, 10)
    np.testing.assert_allclose(circle.box, (33, 33, 47, 47), atol=0.05)
    np.testing.assert_allclose(ellipse.box, (55, 20, 65, 60), atol=0.05)  # turned by 90 degrees
    assert found.classes == ('object',)


FORMAT_OF_ONES_OWN = """
from fastvit_dense.datasets.formats.records import Format, Found, Object, Picture
from fastvit_dense.datasets.formats.tree import numbers, picture_size, read_text


def recognise(tree):
    return bool(tree.of('.boxes'))


def read(tree):
    pictures = []
    for path in tree.of('.boxes'):
        picture = tree.picture(f'{path.stem}.jpg', path.parent)
        box = tuple(numbers(read_text(path).split(), str(path), 4))
        pictures.append(Picture(picture, picture_size(picture), objects=[Object('part', box)]))
    return Found(FORMAT.name, tree.root, ('part',), pictures)


FORMAT = Format('boxes', 'a .boxes file for each picture', recognise, read)
"""


def test_a_format_is_one_file(tmp_path, monkeypatch):
    import fastvit_dense.datasets.formats as package

    (tmp_path / 'package').mkdir()
    (tmp_path / 'package' / 'ones_own.py').write_text(FORMAT_OF_ONES_OWN)
    annotated.save_picture(tmp_path / 'data' / 'a.jpg', 'a')
    (tmp_path / 'data' / 'a.boxes').write_text('1 2 30.5 40')
    with monkeypatch.context() as patch:
        patch.setattr(package, '__path__', [*package.__path__, str(tmp_path / 'package')])
        formats.cache_clear()
        found = read_folder(tmp_path / 'data')
    formats.cache_clear()
    assert found.kind == 'boxes'
    assert found.pictures[0].objects[0].box == (1, 2, 30.5, 40)


# --- what cannot be used -----------------------------------------------------------------------


def test_no_known_format_names_what_was_found_and_looked_for(tmp_path):
    annotated.save_picture(tmp_path / 'photos' / 'a.jpg', 'a')
    (tmp_path / 'notes.docx').write_bytes(b'x')
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    message = str(caught.value)
    assert '1 .docx' in message
    assert '1 .jpg' in message
    assert all(format_.name in message for format_ in formats())
    with pytest.raises(MissingFileError):
        read_folder(tmp_path / 'elsewhere')
    with pytest.raises(DataError, match='unpack an archive'):
        read_folder(tmp_path / 'notes.docx')


def change(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


BROKEN = {
    'yolo class': (annotated.yolo, 'train/labels/a.txt', ('0 ', '7 '), 'line 1: expected a class'),
    'yolo word': (annotated.yolo, 'train/labels/a.txt', ('0.', 'x.'), 'line 1: word 2'),
    'yolo names': (
        annotated.yolo,
        'data.yaml',
        ('names:\n- screw\n- hex nut', 'names: 5'),
        'names: expected a list',
    ),
    'yolo yaml': (annotated.yolo, 'data.yaml', ('names:', 'names: [{'), 'found it broken'),
    'yolo folder': (
        annotated.yolo,
        'data.yaml',
        ('valid/images', 'vald'),
        'val: expected a folder',
    ),
    'voc broken': (annotated.voc, 'Annotations/a.xml', ('</annotation>', ''), 'truncated'),
    'voc number': (
        annotated.voc,
        'Annotations/a.xml',
        ('<xmin>', '<xmin>x'),
        r'object\[0\].bndbox.xmin',
    ),
    'voc name': (annotated.voc, 'Annotations/a.xml', ('>screw<', '><'), r'object\[0\].name'),
    'voc size': (
        annotated.voc,
        'Annotations/a.xml',
        ('<width>120', '<width>99'),
        'size: expected 120',
    ),
    'voc turned': (annotated.voc, 'Annotations/a.xml', ('<xmin>', '<xmin>9'), 'xmin <= xmax'),
    'voc picture': (
        annotated.voc,
        'Annotations/a.xml',
        ('a.jpg', 'zz.jpg'),
        None,
    ),
    'labelme points': (
        annotated.labelme,
        'a.json',
        ('[[10.25, 10.5]', '[["x", 1]'),
        r'shapes\[0\].points\[0\]\[0\]',
    ),
    'labelme label': (annotated.labelme, 'a.json', ('"screw"', 'null'), r'shapes\[0\].label'),
    'labelme size': (
        annotated.labelme,
        'a.json',
        ('"imageHeight": 90', '"imageHeight": 9'),
        'imageHeight',
    ),
    'via points': (annotated.via, 'via_region_data.json', ('[10.25', '["x"'), 'all_points_x'),
    'via class': (
        annotated.via,
        'via_region_data.json',
        ('"class": "screw"', '"klass": "y"'),
        'region_attributes.class',
    ),
    'coco ring': (
        annotated.cvat,
        'annotations/instances_default.json',
        ('[[10.25, ', '[['),
        r'annotations\[0\].segmentation\[0\]',
    ),
    'coco image': (
        annotated.cvat,
        'annotations/instances_default.json',
        ('"image_id": 7', '"image_id": 70'),
        'image_id',
    ),
    'coco file': (
        annotated.cvat,
        'annotations/instances_default.json',
        ('a.jpg', 'zz.jpg'),
        '1 of 4 pictures',
    ),
    'mask value': (annotated.masks, 'classes.txt', ('\nhex nut', ''), 'found 2'),
}


@pytest.mark.parametrize('case', BROKEN)
def test_a_broken_file_is_named_with_the_field(case, tmp_path):
    write, name, pair, expected = BROKEN[case]
    write(tmp_path)
    change(tmp_path / name, pair)
    if expected is None:  # found by the name of the XML file
        assert len(read_folder(tmp_path).pictures) == 4
        return
    with pytest.raises(DataError, match=expected) as caught:
        read_folder(tmp_path)
    assert '\n' not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


HOSTILE = {
    'entities': '<!DOCTYPE a [<!ENTITY x "yy">]>',
    'external': '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_document_types_are_refused(kind, tmp_path):
    annotated.voc(tmp_path)
    path = tmp_path / 'Annotations/a.xml'
    path.write_text(HOSTILE[kind] + path.read_text())
    with pytest.raises(DataError, match='without a document type'):
        read_folder(tmp_path)


def test_nesting_without_end_is_refused(tmp_path):
    annotated.voc(tmp_path)
    path = tmp_path / 'Annotations/a.xml'
    path.write_text('<annotation>' + '<a>' * 200_000)
    with pytest.raises(DataError, match='within each other'):
        read_folder(tmp_path)


def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path):
    annotated.save_picture(tmp_path / 'secret.jpg', 'a')
    annotated.labelme(tmp_path / 'data')
    change(tmp_path / 'data/a.json', ('"a.jpg"', '"../secret.jpg"'))
    assert 'secret.jpg' not in {p.path.name for p in read_folder(tmp_path / 'data').pictures}
