"""Pictures for a report: the best, median and worst samples, prediction beside ground truth."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from ..config import datasets_of
from ..datasets.errors import DataError
from ..evaluation.coco import mask_fault
from ..evaluation.gallery import GalleryEntry, pick_samples
from ..evaluation.label_maps import read_label_map
from ..evaluation.predictions import compressed
from ..evaluation.result import EvaluationResult
from ..evaluation.saved_label_maps import find_label_maps
from ..files import replacing
from .instance import draw_instances
from .semantic import draw_semantic

SCORE_THRESHOLD = 0.3  # instances that score less are left out of the pictures


def make_gallery(
    cfg: Config, result: EvaluationResult, predictions: Path
) -> tuple[list[GalleryEntry], str]:
    """Draw the samples that a report shows.

    Args:
        cfg: Config whose test dataset was scored.
        result: Its evaluation; `per_sample` says which samples are shown.
        predictions: Saved predictions: the file, or the folder that a metric wrote.

    Returns:
        The entries, and a line that says why there is none where that is so.
    """
    picked = pick_samples(result.per_sample)
    if not picked:
        return [], 'no sample has a score of its own'
    if result.task == 'instance' and not cfg.test_evaluator.get('ann_file'):
        return [], 'test_evaluator.ann_file is not set'
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    entries = []
    try:
        pictures = DRAW[result.task](cfg, dataset, [s['id'] for _, s in picked], predictions)
        for (group, sample), (title, picture) in zip(picked, pictures, strict=True):
            entries.append(GalleryEntry(title, sample['score'], picture, group))
    except FileNotFoundError as error:
        if error.filename is None:  # ours: the message says all
            return [], str(error)
        return [], f'no image {Path(error.filename).name} in the data folder'
    except (DataError, UnidentifiedImageError) as error:
        return [], str(error)
    return entries, ''


def save_gallery(entries: list[GalleryEntry], folder: Path) -> None:
    """Write the pictures as PNGs, named by group, place and title, in place of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for group in ('best', 'median', 'worst'):
        for old in folder.glob(f'[0-9][0-9]_{group}_*.png'):
            old.unlink()
    for place, entry in enumerate(entries):
        name = f'{place:02d}_{entry.group.lower()}_{Path(entry.title).stem}.png'
        with replacing(folder / name) as part:
            entry.picture.save(part)


def stack_pictures(paths: Sequence[Path], width: int = 960) -> Image.Image:
    """Put picture files below each other, all scaled to one width in pixels."""
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            height = round(picture.height * width / picture.width)
            pictures.append(picture.convert('RGB').resize((width, height), Image.LANCZOS))
    canvas = Image.new('RGB', (width, sum(p.height for p in pictures)), (255, 255, 255))
    y = 0
    for picture in pictures:
        canvas.paste(picture, (0, y))
        y += picture.height
    return canvas


def side_by_side(pictures: dict[str, Image.Image]) -> Image.Image:
    """Put pictures of one height beside each other, each under its caption."""
    height = max(picture.height for picture in pictures.values())
    bar = max(18, height // 14)
    width = sum(picture.width for picture in pictures.values()) + 6 * (len(pictures) - 1)
    canvas = Image.new('RGB', (width, height + bar), (255, 255, 255))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(round(bar * 0.7))
    x = 0
    for caption, picture in pictures.items():
        draw.text((x + 4, bar / 2), caption, fill=(30, 30, 30), font=font, anchor='lm')
        canvas.paste(picture, (x, bar))
        x += picture.width + 6
    return canvas


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
    from .hand import gallery_pictures

    yield from gallery_pictures(cfg, dataset, ids, predictions)


DRAW: dict[str, Callable[[Config, ConfigDict, list, Path], Pictures]] = {
    'instance': _instances,
    'semantic': _semantic,
    'hand': _hand,
}


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))
