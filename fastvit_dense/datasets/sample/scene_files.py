"""The sample data: real pixels, exact masks, nothing downloaded.

Scenes composed from free photographs (`sample_photos.py`) in the two official layouts: COCO's
for instance segmentation and, the same scenes, ADE20K's for semantic segmentation. The data is
for trying every command and for tests; numbers reached on it say nothing of COCO or ADE20K.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from ...errors import DataError
from .photos import photo_sources
from .scenes import SAMPLE_CLASSES, SAMPLE_SEMANTIC_CLASSES, Scene, compose_scene
from .workspace import remove_stale, workspace

__all__ = [
    'SAMPLE_CLASSES',
    'SAMPLE_SEMANTIC_CLASSES',
    'SAMPLE_SEMANTIC_PALETTE',
    'make_sample_data',
    'mask_to_polygons',
]

SAMPLE_SEMANTIC_PALETTE = (
    (76, 153, 0),
    (178, 76, 51),
    (140, 140, 140),
    (70, 130, 220),
    (153, 102, 51),
    (220, 20, 60),
    (255, 170, 40),
    (250, 240, 200),
    (160, 32, 240),
    (255, 230, 0),
    (0, 220, 220),
)

VERSION = 1  # a change of the scenes or of the files: folders of another version are remade
SEED = 20230814
SPLITS = {'train': 200, 'val': 50}
STAMP = 'sample.json'
TREES = ('coco', 'ade20k')


def make_sample_data(root: str | Path, force: bool = False, trees: Iterable[str] = TREES) -> Path:
    """Write the sample data; the same bytes on every run.

    Each of `root/coco` and `root/ade20k` appears whole or not at all. One that this version of
    the generator made is kept; one of another version is remade.

    Args:
        root: Folder of the sample data, made where absent.
        force: Make it again even if it is up to date.
        trees: Which of `TREES`.

    Returns:
        `root` as a Path.

    Raises:
        DataError: A photograph is missing, or a folder of that name holds other data.
    """
    root = Path(root)
    remove_stale(root)
    wanted = [name for name in trees if not _up_to_date(root / name) or force]
    if not wanted:
        return root
    with workspace(root) as made:
        _write_trees(made, wanted)
        for name in wanted:
            # another process, a rank of the same training perhaps, may have been faster
            if force or not _up_to_date(root / name):
                _publish(made / name, root / name)
    return root


def _up_to_date(tree: Path) -> bool:
    """Tell whether the tree is of this version; refuse a folder that was not made here."""
    if not tree.exists():
        return False
    try:
        return json.loads((tree / STAMP).read_text()) == _stamp()
    except (OSError, ValueError):
        raise DataError(
            f'{tree}: expected a folder of sample data with the file {STAMP}, found other data; '
            'it is left alone: choose another folder for the sample data'
        ) from None


def _stamp() -> dict:
    return {'made_by': 'tools/sample_data.py', 'version': VERSION, 'seed': SEED, **SPLITS}


def _publish(made: Path, tree: Path) -> None:
    """Move a finished tree to its place; an older one goes first."""
    if tree.exists():
        tree.rename(made.with_name(f'{made.name}-old'))
    try:
        made.rename(tree)
    except OSError:
        if not _up_to_date(tree):
            raise


def _write_trees(folder: Path, trees: list[str]) -> None:
    for number, (split, count) in enumerate(SPLITS.items()):
        images: list[dict] = []
        annotations: list[dict] = []
        for index in range(count):
            scene = compose_scene(np.random.default_rng([SEED, number, index]))
            jpeg = _encode('.jpg', scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            if 'ade20k' in trees:
                _write_ade20k(folder / 'ade20k', split, index, jpeg, scene)
            if 'coco' in trees:
                image_id = index + 1 + (0 if split == 'train' else SPLITS['train'])
                name = f'{image_id:012d}.jpg'
                _write(folder / 'coco' / f'{split}2017' / name, jpeg)
                height, width = scene.labels.shape
                images.append({'id': image_id, 'file_name': name, 'height': height, 'width': width})
                annotations += _annotations(scene, image_id, len(annotations) + 1)
        if 'coco' in trees:
            content = {
                'info': {'description': 'fastvit_dense sample data', 'version': str(VERSION)},
                'licenses': [],
                'images': images,
                'annotations': annotations,
                'categories': [
                    {'id': k, 'name': name, 'supercategory': 'object'}
                    for k, name in enumerate(SAMPLE_CLASSES, 1)
                ],
            }
            path = folder / 'coco' / 'annotations' / f'instances_{split}2017.json'
            _write(path, json.dumps(content).encode())
    for name in trees:
        _write(folder / name / 'SOURCES.md', f'# Photographs\n\n{photo_sources()}'.encode())
        _write(folder / name / STAMP, json.dumps(_stamp()).encode())


def _write_ade20k(tree: Path, split: str, index: int, jpeg: bytes, scene: Scene) -> None:
    folder = {'train': 'training', 'val': 'validation'}[split]
    base, stem = tree / 'ADEChallengeData2016', f'ADE_{split}_{index + 1:08d}'
    _write(base / 'images' / folder / f'{stem}.jpg', jpeg)
    _write(base / 'annotations' / folder / f'{stem}.png', _encode('.png', scene.labels))


def _encode(suffix: str, image: np.ndarray, options: Iterable[int] = ()) -> bytes:
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image), list(options))
    if not done:
        raise DataError(f'OpenCV cannot write {suffix} files')
    return data.tobytes()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """The scene's objects in COCO's format; area and box are those of the visible pixels."""
    entries: list[dict] = []
    for category, mask in zip(scene.categories, scene.masks, strict=True):
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        entries.append(
            {
                'id': first_id + len(entries),
                'image_id': image_id,
                'category_id': SAMPLE_CLASSES.index(category) + 1,
                'segmentation': mask_to_polygons(mask),
                'area': int(mask.sum()),
                'bbox': [x, y, width, height],
                'iscrowd': 0,
            }
        )
    return entries


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """Polygons along the pixel edges of a mask; COCO's rasteriser gives back the exact mask.

    A mask with a hole is cut through the hole, since COCO's polygons have none.

    Args:
        mask: (H, W) bool.

    Returns:
        Flat lists x0, y0, x1, y1, ... in pixels, one for each part.
    """
    # in the doubled mask pixels 2x and 2x + 1 lie at the edges x and x + 1 of pixel x
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0] if contours else [], strict=True):
        if parent >= 0:
            cut = int(contour[:, 0, 0].min() + 1) // 2
            left, right = mask.copy(), mask.copy()
            left[:, cut:] = False
            right[:, :cut] = False
            return mask_to_polygons(left) + mask_to_polygons(right)
    return [((contour[:, 0] + 1) // 2).flatten().tolist() for contour in contours]
