"""DRAWING"""

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from PIL import Image

from ..errors import DataError
from ..evaluation.coco import mask_fault
from ..evaluation.label_maps import read_label_map
from ..evaluation.predictions import compressed
from ..evaluation.saved_label_maps import find_label_maps
from ..visualization.hand import draw_hand
from ..visualization.instance import draw_instances
from ..visualization.layout import side_by_side
from ..visualization.semantic import draw_semantic

SCORE_THRESHOLD = 0.3  # instances that score less are left out of the pictures
Pictures = Iterator[tuple[str, Image.Image]]


def _instances(cfg: Config, dataset: ConfigDict, ids: list, predictions: Path) -> Pictures:
    import json

    from faster_coco_eval import COCO
    from pycocotools import mask as coco_mask

    truth = COCO(cfg.test_evaluator.ann_file)
    path = predictions / 'instances.json' if predictions.is_dir() else predictions
    by_image: dict[int, list[dict]] = {}
    for entry in json.loads(path.read_text()):
        by_image.setdefault(entry['image_id'], []).append(entry)
    order = sorted(truth.cats)
    names = [truth.cats[c]['name'] for c in order]
    place = {category: i for i, category in enumerate(order)}
    folder = Path(dataset.get('data_root') or '', dataset.data_prefix.get('img') or '')
    for image_id in ids:
        info = truth.imgs[image_id]
        name = info.get('file_name')
        if not isinstance(name, str):
            raise DataError(
                f'annotation file {cfg.test_evaluator.ann_file}: image {image_id}: expected a '
                f'text "file_name", found {name!r}'
            )
        image = _read(folder / name)
        found = [e for e in by_image.get(image_id, []) if e['score'] >= SCORE_THRESHOLD]
        annotations = truth.imgToAnns.get(image_id, [])
        codes = {
            'prediction': [compressed(e['segmentation']) for e in found if 'segmentation' in e],
            'ground truth': [truth.annToRLE(a) for a in annotations if _has_mask(a, info)],
        }
        pictures = {}
        for caption, entries in (('prediction', found), ('ground truth', annotations)):
            boxes = np.array([_corners(e) for e in entries], dtype=np.float64).reshape(-1, 4)
            labels = np.array([place[e['category_id']] for e in entries], dtype=np.int64)
            masks = None
            if entries and len(codes[caption]) == len(entries):
                masks = coco_mask.decode(codes[caption]).transpose(2, 0, 1).astype(bool)
            scores = np.array([e['score'] for e in found]) if entries is found else None
            pictures[caption] = draw_instances(image, boxes, labels, names, masks, scores)
        yield name, side_by_side(pictures)


def _has_mask(annotation: dict, info: dict) -> bool:
    """Whether it can be drawn; where boxes alone are scored, masks were not checked."""
    return mask_fault(annotation.get('segmentation'), [info['height'], info['width']]) is None


def _corners(entry: dict) -> list[float]:
    from pycocotools import mask as coco_mask

    x, y, width, height = (
        entry['bbox'] if 'bbox' in entry else coco_mask.toBbox(compressed(entry['segmentation']))
    )
    return [x, y, x + width, y + height]


def _semantic(cfg: Config, dataset: ConfigDict, ids: list, predictions: Path) -> Pictures:
    scope = dataset.get('_scope_') or cfg.get('default_scope') or 'mmseg'
    with DefaultScope.overwrite_default_scope(scope):
        built = DATASETS.build({**dataset, 'pipeline': []})
        load = TRANSFORMS.build(dict(type='LoadAnnotations'))
    infos = {info['img_path']: info for info in map(built.get_data_info, range(len(built)))}
    classes, palette = built.metainfo['classes'], built.metainfo.get('palette')
    offset = int(bool(built.metainfo.get('reduce_zero_label')))
    files = find_label_maps(predictions, list(infos), built.data_prefix.get('img_path'))
    for path in ids:
        image = _read(Path(path))
        truth = load(infos[path])['gt_seg_map'].astype(np.int64)
        found = read_label_map(files[path]) - offset
        pictures = {
            'prediction': draw_semantic(image, found, classes, palette),
            'ground truth': draw_semantic(image, truth, classes, palette),
        }
        yield Path(path).name, side_by_side(pictures)


def _hand(cfg: Config, dataset: ConfigDict, ids: list, predictions: Path) -> Pictures:
    from .drawing import gallery_pictures

    yield from gallery_pictures(cfg, dataset, ids, predictions)


DRAW: dict[str, Callable[[Config, ConfigDict, list, Path], Pictures]] = {
    'instance': _instances,
    'semantic': _semantic,
    'hand': _hand,
}


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


def gallery_pictures(
    cfg: Config, dataset: dict, ids: Iterable[int], predictions: Path
) -> Iterator[tuple[str, Image.Image]]:
    """Draws saved predictions of a FreiHAND dataset beside the truth.

    Args:
        cfg: Config of the model; its `model.mano` names the faces.
        dataset: Config of the dataset.
        ids: Numbers of the images to draw.
        predictions: `pred.json`, a `.zip` of it, or the folder that holds `pred.json`; one entry
            for each image of the dataset, by number.

    Yields:
        File name and picture of each image.

    Raises:
        FileNotFoundError: An image is missing.
    """
    from ..datasets.freihand_files import read_predictions
    from ..datasets.loading import read_image
    from ..evaluation.label_maps import build_lazily
    from ..hand.regressor import build_mano

    built = build_lazily(dataset)
    rows = {number: row for row, number in enumerate(sorted(built.image_numbers()))}
    path = predictions / 'pred.json' if predictions.is_dir() else predictions
    joints, vertices = read_predictions(path, len(rows))
    mano = build_mano(cfg.model.mano)
    faces = mano.faces.numpy() if vertices.shape[1] == len(mano.v_template) else None
    for number in ids:
        known = built.describe(number)
        image_path = Path(known['img_path'])
        if not image_path.is_file():
            raise FileNotFoundError(errno.ENOENT, 'no such image', str(image_path))
        picture = draw_hand(
            read_image(str(image_path))[..., ::-1],
            known['K'],
            joints[rows[number]],
            vertices[rows[number]],
            faces,
            known.get('vertices'),
            mano.name if mano.is_standin else '',
        )
        yield image_path.name, picture
