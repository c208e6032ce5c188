"""The same few annotated pictures, written as each tool would write them."""

import csv
import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw

CLASSES = ('screw', 'hex nut')
# picture -> (height, width); class, polygon or box (left, top, right, bottom)
SIZES = {'a': (90, 120), 'b': (75, 101), 'c': (64, 96), 'd': (80, 80)}
POLYGONS = {
    'a': [
        ('screw', [10.25, 10.5, 60.75, 12.0, 55.5, 48.125]),
        ('hex nut', [70.0, 30.0, 100.5, 30.0, 100.5, 70.25, 70.0, 70.25]),
    ],
    'b': [('hex nut', [5.5, 6.25, 40.0, 8.0, 44.75, 60.5, 8.0, 55.0])],
    'c': [('screw', [20.125, 12.25, 70.5, 12.25, 70.5, 50.75, 20.125, 50.75])],
    'd': [],
}


def box_of(ring):
    """Left, top, right, bottom of a polygon."""
    return [min(ring[::2]), min(ring[1::2]), max(ring[::2]), max(ring[1::2])]


def boxes():
    """The objects with their boxes alone."""
    return {
        name: [(label, box_of(ring)) for label, ring in found] for name, found in POLYGONS.items()
    }


def save_picture(path: Path, name: str, seed: int | None = None):
    """A picture of noise of its own with the objects of `name` on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = SIZES[name]
    rng = np.random.default_rng(sum(map(ord, name)) if seed is None else seed)
    small = rng.integers(0, 255, (6, 8, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for label, ring in POLYGONS[name]:
        draw.polygon(ring, fill=(200, 40, 40) if label == 'screw' else (40, 60, 220))
    image.save(path, quality=95)


def coco(folder: Path, names=SIZES, categories=None, folders=True):
    """One `annotations.json` of all pictures, those in `images/`."""
    categories = categories or [{'id': k, 'name': n} for k, n in enumerate(CLASSES, 1)]
    ids = {c['name']: c['id'] for c in categories}
    images, annotations = [], []
    for name in names:
        height, width = SIZES[name]
        file_name = f'{name}.jpg'
        save_picture(folder / ('images' if folders else '') / file_name, name)
        images.append(
            {'id': len(images) + 7, 'file_name': file_name, 'height': height, 'width': width}
        )
        for label, ring in POLYGONS[name]:
            x0, y0, x1, y1 = box_of(ring)
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': images[-1]['id'],
                    'category_id': ids[label],
                    'segmentation': [ring],
                    'bbox': [x0, y0, x1 - x0, y1 - y0],
                    'area': (x1 - x0) * (y1 - y0),
                    'iscrowd': 0,
                }
            )
    return {'images': images, 'annotations': annotations, 'categories': categories}


def write_json(path: Path, content):
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def roboflow(folder: Path):
    """Roboflow's COCO export: train and valid, a category that heads the others."""
    heads = [{'id': 0, 'name': 'parts', 'supercategory': 'none'}]
    heads += [{'id': k, 'name': n, 'supercategory': 'parts'} for k, n in enumerate(CLASSES, 1)]
    for split, names in (('train', 'ab'), ('valid', 'c'), ('test', 'd')):
        content = coco(folder / split, names, heads, folders=False)
        write_json(folder / split / '_annotations.coco.json', content)


def cvat(folder: Path):
    """CVAT's COCO export."""
    content = coco(folder)
    for entry in content['annotations']:
        entry['attributes'] = {'occluded': False}
    content |= {'licenses': [{'name': '', 'id': 0, 'url': ''}], 'info': {'contributor': ''}}
    write_json(folder / 'annotations' / 'instances_default.json', content)


def label_studio(folder: Path):
    """Label Studio's COCO export: names with a folder, and a backslash."""
    content = coco(folder)
    for entry in content['images']:
        entry['file_name'] = f'images\\{entry["file_name"]}'
    write_json(folder / 'result.json', content)


def yolo(folder: Path, polygons: bool = True):
    """Ultralytics' folders with a data.yaml; the paths in it as Roboflow writes them."""
    for split, names in (('train', 'abd'), ('valid', 'c')):
        for name in names:
            save_picture(folder / split / 'images' / f'{name}.jpg', name)
            height, width = SIZES[name]
            lines = []
            for label, ring in POLYGONS[name]:
                values = [v / (height if k % 2 else width) for k, v in enumerate(ring)]
                if not polygons:
                    x0, y0, x1, y1 = box_of(values)
                    values = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
                lines.append(' '.join([str(CLASSES.index(label)), *(f'{v:.9f}' for v in values)]))
            path = folder / split / 'labels' / f'{name}.txt'
            path.parent.mkdir(exist_ok=True)
            path.write_text('\n'.join(lines))
    content = {
        'train': '../train/images',
        'val': '../valid/images',
        'test': '../test/images',
        'nc': 2,
        'names': list(CLASSES),
    }
    (folder / 'data.yaml').write_text(yaml.safe_dump(content))


def voc_xml(name: str, database: str = 'Unknown', shift: float = 0.0, difficult=()):
    """The XML file of a picture; `shift` is added to left and top (PASCAL VOC counts from 1)."""
    height, width = SIZES[name]
    objects = ''
    for place, (label, (x0, y0, x1, y1)) in enumerate(boxes()[name]):
        objects += (
            f'<object><name>{label}</name><pose>Left</pose><truncated>1</truncated>'
            f'<difficult>{int(place in difficult)}</difficult><bndbox><xmin>{x0 + shift}</xmin>'
            f'<ymin>{y0 + shift}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>'
        )
    return (
        f'<annotation><folder>VOC</folder><filename>{name}.jpg</filename><source><database>'
        f'{database}</database></source><size><width>{width}</width><height>{height}</height>'
        f'<depth>3</depth></size><segmented>0</segmented>{objects}</annotation>'
    )


def voc(folder: Path, database: str = 'Unknown', shift: float = 0.0, difficult=()):
    """VOC's folders, with ImageSets."""
    for name in SIZES:
        save_picture(folder / 'JPEGImages' / f'{name}.jpg', name)
        path = folder / 'Annotations' / f'{name}.xml'
        path.parent.mkdir(exist_ok=True)
        path.write_text(voc_xml(name, database, shift, difficult))
    sets = folder / 'ImageSets' / 'Main'
    sets.mkdir(parents=True)
    (sets / 'train.txt').write_text('a\nb\n')
    (sets / 'val.txt').write_text('c\nd\n')


def labelme(folder: Path):
    """labelme: a JSON file beside each picture that has objects."""
    for name, (height, width) in SIZES.items():
        save_picture(folder / f'{name}.jpg', name)
        shapes = [
            {
                'label': label,
                'points': np.reshape(ring, (-1, 2)).tolist(),
                'group_id': None,
                'shape_type': 'polygon',
                'flags': {},
            }
            for label, ring in POLYGONS[name]
        ]
        if shapes:
            write_json(
                folder / f'{name}.json',
                {
                    'version': '5.4.1',
                    'flags': {},
                    'shapes': shapes,
                    'imagePath': f'{name}.jpg',
                    'imageData': None,
                    'imageHeight': height,
                    'imageWidth': width,
                },
            )


def via(folder: Path, project: bool = False):
    """VIA 2: one JSON file, the annotations alone or the whole project."""
    entries = {}
    for name in SIZES:
        path = folder / f'{name}.jpg'
        save_picture(path, name)
        regions = [
            {
                'shape_attributes': {
                    'name': 'polygon',
                    'all_points_x': ring[::2],
                    'all_points_y': ring[1::2],
                },
                'region_attributes': {'quality': {'good': True}, 'class': label},
            }
            for label, ring in POLYGONS[name]
        ]
        size = path.stat().st_size
        entries[f'{name}.jpg{size}'] = {
            'filename': f'{name}.jpg',
            'size': size,
            'regions': regions,
            'file_attributes': {},
        }
    if project:
        entries = {'_via_settings': {}, '_via_img_metadata': entries, '_via_attributes': {}}
    write_json(folder / 'via_region_data.json', entries)


def via_csv(folder: Path):
    """VIA's CSV file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'via.csv').open('w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                'filename',
                'file_size',
                'file_attributes',
                'region_count',
                'region_id',
                'region_shape_attributes',
                'region_attributes',
            ]
        )
        for name in SIZES:
            save_picture(folder / f'{name}.jpg', name)
            shapes = [
                (
                    {'name': 'polygon', 'all_points_x': ring[::2], 'all_points_y': ring[1::2]},
                    {'label': label},
                )
                for label, ring in POLYGONS[name]
            ] or [({}, {})]
            for k, (shape, attributes) in enumerate(shapes):
                rows.writerow(
                    [
                        f'{name}.jpg',
                        1,
                        '{}',
                        len(shapes),
                        k,
                        json.dumps(shape),
                        json.dumps(attributes),
                    ]
                )


def class_mask(name: str) -> np.ndarray:
    """Background 0, screw 1, hex nut 2, of whole pixels."""
    height, width = SIZES[name]
    image = Image.new('L', (width, height))
    draw = ImageDraw.Draw(image)
    for label, ring in POLYGONS[name]:
        draw.polygon(ring, fill=CLASSES.index(label) + 1)
    return np.asarray(image)


def masks(folder: Path, splits: bool = True):
    """`images/` and `masks/`, with folders for the splits, and a classes.txt."""
    for name in SIZES:
        split = ('val' if name == 'c' else 'train') if splits else ''
        save_picture(folder / 'images' / split / f'{name}.jpg', name)
        path = folder / 'masks' / split / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(class_mask(name)).save(path)
    (folder / 'classes.txt').write_text('background\nscrew\nhex nut\n')
