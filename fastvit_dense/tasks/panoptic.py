"""Pictures of panoptic segmentation: the segments coloured by class, with their outlines."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import ConfigDict
from PIL import Image

from ..checkpoints.files import read_json
from ..datasets.formats.panoptic import read_panoptic, rgb2id
from ..limits import JSON_BYTES
from ..visualization.layout import read_picture, side_by_side
from ..visualization.semantic import draw_semantic
from .base import Pictures

EDGE = (255, 255, 255)


def draw_panoptic(
    metric: Mapping[str, Any], dataset: ConfigDict, ids: Iterable[Any], predictions: Path
) -> Pictures:
    """Yield title and picture of images, the prediction beside the truth; see `Task.draw`.

    Args:
        metric: Config of a `PanopticMetric`.
        dataset: Config of the test dataset.
        ids: Of images of the annotation file.
        predictions: `panoptic.json` beside its folder of PNGs, or the folder that holds both.
    """
    file = predictions / 'panoptic.json' if predictions.is_dir() else predictions
    truth = read_panoptic(metric['ann_file'], metric['seg_prefix'])
    sides = {
        'prediction': (_by_image(read_json(file, JSON_BYTES)), file.with_suffix('')),
        'ground truth': (_by_image(truth), Path(metric['seg_prefix'])),
    }
    names = [category['name'] for category in truth['categories']]
    place = {category['id']: k for k, category in enumerate(truth['categories'])}
    files = {image['id']: image['file_name'] for image in truth['images']}
    folder = Path(dataset.get('data_root') or '', dataset.data_prefix.get('img') or '')
    for number in ids:
        image = read_picture(folder / files[number])
        pictures = {}
        for caption, (entries, pngs) in sides.items():
            with Image.open(pngs / entries[number]['file_name']) as png:
                segments = rgb2id(np.asarray(png.convert('RGB')))
            labels = np.full(segments.shape, -1)
            for segment in entries[number]['segments_info']:
                labels[segments == segment['id']] = place[segment['category_id']]
            picture = np.array(draw_semantic(image, labels, names))
            picture[_edges(segments)] = EDGE
            pictures[caption] = Image.fromarray(picture)
        yield files[number], side_by_side(pictures)


def _by_image(content: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    return {entry['image_id']: entry for entry in content['annotations']}


def _edges(segments: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour is of another segment."""
    edges = np.zeros(segments.shape, bool)
    edges[:, :-1] |= segments[:, :-1] != segments[:, 1:]
    edges[:-1] |= segments[:-1] != segments[1:]
    return edges
