"""What people's folders really have: each fault is told, with its file, or refused in one line."""

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from fastvit_dense.datasets.formats.mask_folders import read_labels
from fastvit_dense.datasets.formats.recognising import read_folder
from fastvit_dense.errors import DataError

from . import annotated
from .test_recognising import change

COCO = 'annotations/instances_default.json'


def of_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def of_yaml(path, **changes):
    content = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v != 'gone'}))


def line(text):
    """Write the label file of a picture of YOLO's."""
    return lambda folder: (folder / 'train/labels/a.txt').write_text(text)


def annotation(**fields):
    """Change the first annotation of CVAT's file."""
    return lambda folder: of_json(folder / COCO, lambda c: c['annotations'][0].update(fields))


def shape(**fields):
    """Change the first shape of labelme's file."""
    return lambda folder: of_json(folder / 'a.json', lambda c: c['shapes'][0].update(fields))


def region(**fields):
    """Change the first region of VIA's file."""

    def edit(content):
        next(iter(content.values()))['regions'][0]['shape_attributes'].update(fields)

    return lambda folder: of_json(folder / 'via_region_data.json', edit)


def xml(old, new):
    return lambda folder: change(folder / 'Annotations/a.xml', (old, new))


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def jpegs(folder):
    for path in (folder / 'masks').rglob('*.png'):
        Image.open(path).convert('L').save(path.with_suffix('.jpg'))
        path.unlink()


def saved_as(suffix, masks='*.png', **options):
    """Masks of the first folder saved anew."""

    def spoil(folder):
        for path in sorted((folder / 'masks/train').glob(masks)):
            image = Image.open(path).convert('L')
            path.unlink()
            image.save(path.with_suffix(suffix), **options)

    return spoil


def to_folder(name):
    return lambda folder: ((folder / name).unlink(), (folder / name).mkdir())


def colored(pattern):
    colors = np.array([[0, 0, 0], [200, 10, 10], [0, 250, 3]], np.uint8)

    def spoil(folder):
        for path in (folder / 'masks').glob(pattern):
            Image.fromarray(colors[annotated.class_mask(path.stem)]).save(path)

    return spoil


def grey(folder):
    for path in (folder / 'masks').rglob('*.png'):
        Image.open(path).convert('RGB').save(path)


def linked(folder):
    """Pictures that lie elsewhere."""
    for path in (folder / 'train/images').glob('*'):
        other = folder.with_name('elsewhere') / path.name
        other.parent.mkdir(exist_ok=True)
        path.symlink_to(path.rename(other))


FAR = [500, 500, 600, 500, 600, 600]
REFUSED = {
    # objects that a picture cannot show
    'yolo outside': (annotated.yolo, line('0 1.4 1.4 .2 .2'), r'a\.txt: line 1: .*100% of it out'),
    'yolo pixels': (annotated.yolo, line('0 40 30 20 10'), r'a\.txt: line 1: .*are these pixels'),
    'yolo no width': (
        annotated.yolo,
        line('0 .5 .5 0 .2'),
        r'line 1: expected .* width and height',
    ),
    'yolo negative': (annotated.yolo, line('0 .5 .5 -.1 .2'), r'line 1: .* width and height'),
    'yolo a line': (annotated.yolo, line('0 .1 .1 .2 .2 .3 .3'), r'line 1: .* 3 corners on a line'),
    'yolo nan': (annotated.yolo, line('0 nan .1 .2 .2'), r'line 1: word 2: expected a number'),
    'voc outside': (
        annotated.voc,
        lambda folder: change(
            folder / 'Annotations/a.xml', ('<xmin>10.25', '<xmin>400'), ('<xmax>60.75', '<xmax>450')
        ),
        r'a\.xml: object\[0\]: expected an object inside the 120x90 pixels of a\.jpg',
    ),
    'voc no width': (annotated.voc, xml('<xmax>60.75', '<xmax>10.25'), r'object\[0\]: .* width'),
    'voc two corners': (
        annotated.voc,
        xml('<bndbox>', '<polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>9</y2></polygon><bndbox>'),
        r'object\[0\]\.polygon: expected 3 corners or more, found 2',
    ),
    'labelme outside': (
        annotated.labelme,
        shape(points=np.reshape(FAR, (-1, 2)).tolist()),
        r'a\.json: shapes\[0\]: expected an object inside',
    ),
    'labelme one point': (annotated.labelme, shape(points=[[5, 5]] * 3), r'shapes\[0\]: .*width'),
    'via outside': (
        annotated.via,
        region(all_points_x=FAR[::2], all_points_y=FAR[1::2]),
        r'via_region_data\.json: a\.jpg\d+\.regions\[0\]: expected an object inside',
    ),
    'coco outside': (
        annotated.cvat,
        annotation(bbox=[500, 500, 20, 20], segmentation=[]),
        r'annotations\[0\]: expected an object inside',
    ),
    'coco polygon outside': (annotated.cvat, annotation(segmentation=[FAR]), r'\[0\]: .* inside'),
    'coco negative': (annotated.cvat, annotation(bbox=[50, 50, -10, 9]), r'\[0\]: .*width and'),
    # annotations that would be overlooked
    'coco cut': (annotated.roboflow, cut('valid/_annotations.coco.json'), r'valid/_ann.*: .*JSON'),
    'labelme cut': (annotated.labelme, cut('a.json'), r'a\.json: .*JSON'),
    'labelme empty': (annotated.labelme, lambda f: (f / 'a.json').write_text(''), r'a\.json: '),
    'labelme other': (
        annotated.labelme,
        lambda f: of_json(f / 'a.json', lambda c: c.pop('shapes')),
        r'a\.json: shapes: expected a list',
    ),
    'no objects': (
        annotated.labelme,
        lambda f: [of_json(p, lambda c: c.update(shapes=[])) for p in f.glob('*.json')],
        'labelme: expected annotated objects, found none in 4 pictures',
    ),
    'coco crowd': (annotated.cvat, annotation(iscrowd='0'), r'\[0\]\.iscrowd: expected 0 or 1'),
    'coco id twice': (
        annotated.cvat,
        lambda f: of_json(f / COCO, lambda c: c['categories'].append({'id': 1, 'name': 'z'})),
        r'categories\[2\]\.id: expected an id of its own, found 1 again',
    ),
    'coco null': (
        annotated.cvat,
        lambda f: of_json(f / COCO, lambda c: c.update(annotations=None)),
        r'default\.json: expected lists .*, found images: list, annotations: NoneType',
    ),
    'coco link': (
        annotated.cvat,
        lambda f: ((f / 'images/a.jpg').unlink(), (f / 'images/a.jpg').symlink_to('nowhere')),
        '1 of 4 pictures are not there',
    ),
    'labelme twice': (
        annotated.labelme,
        lambda f: (f / 'x.json').write_bytes((f / 'a.json').read_bytes()),
        r'x\.json: .*a\.jpg is annotated in .*a\.json, too',
    ),
    'voc twice': (
        annotated.voc,
        lambda f: (f / 'Annotations/x.xml').write_bytes((f / 'Annotations/a.xml').read_bytes()),
        r'x\.xml: .*a\.jpg is annotated in .*a\.xml, too',
    ),
    'voc other': (
        annotated.voc,
        lambda f: (f / 'Annotations/x.xml').write_text('<html/>'),
        r'x\.xml: expected <annotation>, found <html>',
    ),
    # masks
    'masks of two kinds': (annotated.masks, colored('train/a.png'), r'b\.png: expected colours'),
    'masks of colours': (
        annotated.masks,
        colored('*/*.png'),
        r'expected the values of 3 named classes, found colours; labelmap\.txt names those',
    ),
    # names of classes
    'yolo bool': (
        annotated.yolo,
        lambda f: of_yaml(f / 'data.yaml', names=[True, 'hex nut']),
        r'data\.yaml: names\[0\]: expected a text, found True; write it in quotes',
    ),
    'masks twice': (
        annotated.masks,
        lambda f: (f / 'classes.txt').write_text('background\nscrew\nscrew'),
        r"classes\.txt: expected each class once, found 'screw' as 1 and 2",
    ),
    'masks blank': (
        annotated.masks,
        lambda f: (f / 'classes.txt').write_text('background\n\nscrew\nhex nut\n'),
        r'classes\.txt: line 2: expected a class, found an empty line',
    ),
    # what is nearly a format
    'yolo no names': (
        annotated.yolo,
        lambda f: (f / 'data.yaml').unlink(),
        r'labels/a\.txt may be a label file of YOLO: write the names of its classes into .*classes',
    ),
    'jpeg masks': (annotated.masks, jpegs, r'a\.jpg seems to be a mask, which \.jpg changes'),
    'jpeg masks named png': (
        annotated.masks,
        saved_as('.png', format='JPEG'),
        r'masks/train/a\.png: expected a format that keeps values, such as PNG, found JPEG',
    ),
    'mask of two pages': (
        annotated.masks,
        saved_as('.tif', save_all=True, append_images=[Image.new('L', (120, 90))]),
        r'masks/train/a\.tif: expected one class mask, found 2 pages or frames',
    ),
    'mask of two frames': (
        annotated.masks,
        saved_as('.gif', save_all=True, append_images=[Image.new('L', (120, 90), 9)]),
        r'masks/train/a\.gif: expected one class mask, found 2 pages or frames',
    ),
    'yolo folder': (
        annotated.yolo,
        to_folder('train/labels/a.txt'),
        r'labels/a\.txt: expected a file, found none, or a folder',
    ),
    'labelme points': (
        annotated.labelme,
        lambda f: [
            of_json(path, lambda c: [s.update(shape_type='point') for s in c['shapes']])
            for path in f.glob('*.json')
        ],
        "expected annotated objects, found none in 4 pictures; 4 shapes of type 'point' have no",
    ),
    'two of a name': (
        annotated.masks,
        lambda f: Image.open(f / 'images/train/a.jpg').save(f / 'images/train/a.png'),
        r'a\.png: expected one file for each picture, .* found .*a\.jpg, too',
    ),
    'cvat': (
        lambda f: annotated.save_picture(f / 'images/a.jpg', 'a'),
        lambda f: (f / 'annotations.xml').write_text('<?xml version="1.0"?><annotations/>'),
        'CVAT\'s own format: export it as "COCO 1.0"',
    ),
    'label studio': (
        lambda f: annotated.save_picture(f / 'a.jpg', 'a'),
        lambda f: annotated.write_json(f / 'p.json', [{'data': {}, 'annotations': []}]),
        "Label Studio's own format: export it as COCO",
    ),
    'zip': (
        lambda f: annotated.save_picture(f / 'a.jpg', 'a'),
        lambda f: (f / 'export.zip').write_bytes(b'PK'),
        r'unpack \S+export\.zip first',
    ),
    'empty picture': (
        annotated.labelme,
        lambda f: (f / 'b.jpg').write_bytes(b''),
        r'b\.jpg: expected a picture, found 0 bytes',
    ),
    'broken pictures': (
        annotated.labelme,
        lambda f: [(f / name).write_bytes(b'no picture') for name in ('b.jpg', 'c.jpg')],
        r'b\.jpg: expected a picture, .*\(2 of \d pictures cannot be read: b\.jpg, c\.jpg\)',
    ),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused_in_one_line(case, tmp_path):
    write, spoil, expected = REFUSED[case]
    write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=expected) as caught:
        read_folder(tmp_path)
    assert '\n' not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


TOLD = {
    'yolo val is train': (
        annotated.yolo,
        lambda f: of_yaml(f / 'data.yaml', val='../train/images'),
        r'data\.yaml: val: 3 of its 3 pictures are in train, too, and stay there',
    ),
    'yolo val empty': (
        annotated.yolo,
        lambda f: (f / 'valid/images/c.jpg').unlink(),
        r'data\.yaml: val: no picture in \.\./valid/images',
    ),
    'yolo other yaml': (
        annotated.yolo,
        lambda f: (f / 'args.yaml').write_text('names: [x]\n'),
        None,
    ),
    'yolo capitals': (
        annotated.yolo,
        lambda f: (f / 'train/labels/a.txt').rename(f / 'train/labels/a.TXT'),
        r'1 label files are named as no picture: left out \(\S+a\.TXT\)',
    ),
    'labelme cuboid': (
        annotated.labelme,
        lambda f: of_json(
            f / 'a.json',
            lambda c: c['shapes'].append(c['shapes'][0] | {'shape_type': 'cuboid'}),
        ),
        "1 shapes of type 'cuboid' are not read: left out",
    ),
    'one jpeg mask': (
        annotated.masks,
        saved_as('.jpg', 'd.png'),
        r'masks/train/d\.jpg seems to be a mask, which \.jpg changes the values of',
    ),
    'yolo picture elsewhere': (
        annotated.yolo,
        lambda f: annotated.save_picture(f / 'more/e.jpg', 'a', seed=5),
        r'1 pictures of no folder or list of the YAML file are left out \(\S+more/e\.jpg\)',
    ),
    'coco picture': (
        annotated.cvat,
        lambda f: annotated.save_picture(f / 'images/e.jpg', 'a', seed=5),
        r'1 pictures that no file names are left out \(\S+e\.jpg\)',
    ),
    'coco val empty': (
        annotated.roboflow,
        lambda f: of_json(
            f / 'valid/_annotations.coco.json', lambda c: c.update(images=[], annotations=[])
        ),
        r'valid/_annotations\.coco\.json: no picture in it',
    ),
    'voc picture': (
        annotated.voc,
        lambda f: annotated.save_picture(f / 'JPEGImages/e.jpg', 'a', seed=5),
        r'1 pictures without an XML file are left out',
    ),
    'voc both': (
        annotated.voc,
        lambda f: (f / 'ImageSets/Main/val.txt').write_text('a\nc\nd\n'),
        r'val\.txt: a is in train, too, and stays there',
    ),
    'voc name': (
        annotated.voc,
        lambda f: (f / 'ImageSets/Main/train.txt').write_text('a\nb\nzz\n'),
        r'1 names of ImageSets have no XML file \(zz\)',
    ),
    'voc no list': (
        annotated.voc,
        lambda f: (f / 'ImageSets/Main/train.txt').write_text('a\n'),
        r'1 pictures are in no list of ImageSets and are taken for training \(\S+b\.jpg\)',
    ),
    'voc val empty': (
        annotated.voc,
        lambda f: (f / 'ImageSets/Main/val.txt').write_text('\n'),
        r'val\.txt: no picture in it',
    ),
    'masks grey': (annotated.masks, grey, 'grey in three channels, which are read as values'),
    'links': (annotated.yolo, linked, None),
    'capitals': (
        annotated.cvat,
        lambda f: (f / 'images/a.jpg').rename(f / 'images/a.JPG'),
        None,
    ),
    'case': (annotated.labelme, shape(label='Screw'), "'Screw' and 'screw' are two classes"),
}


@pytest.mark.parametrize('case', TOLD)
def test_told(case, tmp_path):
    write, spoil, expected = TOLD[case]
    write(tmp_path)
    spoil(tmp_path)
    found = read_folder(tmp_path)
    assert {'screw', 'hex nut'} <= {*found.classes, *found.mask_classes}
    assert len(found.pictures) >= 3
    if expected:
        assert [note for note in found.notes if re.search(expected, note)], found.notes


def test_few_slips_are_left_out_and_told(tmp_path):
    """One of two hundred boxes; two are one too many for one in a hundred."""
    annotated.yolo(tmp_path, polygons=False)
    path = tmp_path / 'train/labels/a.txt'
    boxes = [f'0 {0.2 + 0.003 * k:.4f} .5 .1 .1' for k in range(150)]
    path.write_text('\n'.join([*boxes, '1 .5 .5 0 .1']))
    found = read_folder(tmp_path)
    assert found.objects == 150 + 2  # b and c have one each
    (note,) = [note for note in found.notes if 'left out' in note]
    assert note.startswith('1 objects cannot be shown and are left out')
    assert f'{path}: line 151: expected an object with width and height' in note
    path.write_text('\n'.join([*boxes, '1 .5 .5 0 .1', '1 .5 .5 .1 0']))
    with pytest.raises(DataError, match=r'line 151: .*so are 1 more of 154 objects'):
        read_folder(tmp_path)


def test_values_without_names_are_classes_where_they_occur(tmp_path):
    """Of 0, 60 and 120 not those between them."""
    annotated.masks(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    for path in (tmp_path / 'masks').rglob('*.png'):
        Image.fromarray(annotated.class_mask(path.stem) * 60).save(path)
    found = read_folder(tmp_path)
    assert found.mask_classes == ('class_0', 'class_60', 'class_120')
    labels = read_labels(
        next(p for p in found.pictures if p.path.stem == 'a').mask, found.mask_code
    )
    np.testing.assert_array_equal(labels, annotated.class_mask('a'))
