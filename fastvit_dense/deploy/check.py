"""The check that ends every export: the file against the PyTorch model, number by number.

The PyTorch model is the one that `tools/test.py` scores, before anything was folded, with its own
preprocessing and post-processing.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import nn

from ..compat.openmmlab import swaps_channels
from ..evaluation.masks import encode_masks
from ..hand.camera import ROOT

MAX_ERROR = 1e-4  # largest difference, of the rms of the expected values
MIN_LABELS = 0.999  # share of pixels with the same label
MAX_BOX_ERROR = 0.1  # pixels
MIN_MASK_IOU = 0.99
MIN_DETECTIONS = 50  # fewer say too little: then all are counted, whatever their score
# Of the detections: which of two boxes at the limit of IoU goes, or comes last, rounding decides
# (mmdet shifts each class's boxes by its number times the image's size, which costs digits).
MAX_UNMATCHED = 0.02
PHOTOS = ('astronaut.png', 'coffee.png', 'chelsea.png')


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        what: Input and quantity.
        value: What was found.
        limit: What is allowed; None where the value is told only.
        at_least: Whether the limit is the smallest allowed value, not the largest.
    """

    what: str
    value: float
    limit: float | None
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the value is within the limit; NaN never is."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        if self.limit is None:
            return f'       {self.what}: {self.value:.6g}'
        sign = '>=' if self.at_least else '<='
        verdict = 'ok' if self.passed else 'FAILED'
        return f'{verdict:6} {self.what}: {self.value:.6g} ({sign} {self.limit:g})'


def check_images(
    size: tuple[int, int], dynamic: bool = True, square: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """Random and real inputs of several sizes.

    Args:
        size: Height and width that the config tests with.
        dynamic: Whether the file takes other sizes too.
        square: Whether the model sees square images only.

    Yields:
        Name, and picture (H, W, 3) uint8, RGB.
    """
    from ..datasets.sample.photos import read_photo

    height, width = size
    sizes = [size, size, size]
    if dynamic:  # a half, odd in both directions; upright instead of lying
        sizes = [size, (height // 2 + 13, width // 2 + 7), (width // 2 + 1, height // 2 + 32)]
    if square:
        sizes = [(h, h) for h, _ in sizes]
    generator = np.random.default_rng(0)
    for number, (h, w) in enumerate(sizes[:2]):
        image = generator.integers(0, 256, (h, w, 3), dtype=np.uint8)
        yield f'random {h}x{w}' + f' ({number})' * (not dynamic), image
    for name, (h, w) in zip(PHOTOS, sizes, strict=True):
        yield f'{name} {h}x{w}', cv2.resize(read_photo(name), (w, h), interpolation=cv2.INTER_AREA)


def relative_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference, in units of the rms of the expected values; inf for another shape."""
    if expected.shape != found.shape:
        return float('inf')
    rms = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    return float(np.abs(expected.astype(np.float64) - found).max()) / max(rms, 1e-12)


def check_arrays(
    what: str, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> Iterator[Line]:
    """Compare named arrays."""
    for name, array in expected.items():
        yield Line(f'{what}, {name}', relative_error(array, found[name]), MAX_ERROR)


def check_backbone(
    model: nn.Module,
    run: Callable[[np.ndarray], dict[str, np.ndarray]],
    images: Iterable[tuple[str, np.ndarray]],
) -> Iterator[Line]:
    """Feature maps of PyTorch's backbone against those of a file.

    Args:
        model: With the backbone as trained and its preprocessor, in eval mode.
        run: The file, (1, 3, H, W) RGB to outputs by name.
        images: As `check_images` gives them.
    """
    for name, image in images:
        expected = expected_outputs('', 'backbone', model, image)
        yield from check_arrays(name, expected, run(image.transpose(2, 0, 1)[None]))


def expected_outputs(
    task: str, part: str, model: nn.Module, image: np.ndarray
) -> dict[str, np.ndarray]:
    """What a file should give for a picture (H, W, 3), by the PyTorch model as trained.

    All that a graph of `graphs.py` may have among its outputs; not for detectors.
    """
    if part == 'model' and task == 'semantic':
        return {'logits': _predict(task, model, image).seg_logits.data[None].numpy()}
    with torch.inference_mode():
        inputs = _normalizer(model.data_preprocessor)(
            {'inputs': [_bgr(image)], 'data_samples': None}
        )['inputs']
        if part == 'backbone':
            maps = model.backbone(inputs)
            names = [f'stage{i}' for i in model.backbone.out_indices]
            return {name: m.numpy() for name, m in zip(names, maps, strict=True)}
        hand = model(inputs, mode='tensor')
        mesh = model.mano(hand.global_orient, hand.hand_pose, hand.betas)
        root = mesh.joints[:, ROOT, None]
        found = {**hand._asdict(), 'vertices': mesh.vertices - root, 'joints': mesh.joints - root}
        if hasattr(model.head, 'numbers'):
            found['numbers'] = model.head.numbers(model.backbone(inputs))
    return {name: value.numpy() for name, value in found.items() if value is not None}


def _normalizer(preprocessor: nn.Module) -> nn.Module:
    """mmengine's normalisation with the settings of any preprocessor, and nothing else of it."""
    from mmengine.model import ImgDataPreprocessor

    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    return ImgDataPreprocessor(
        mean=None if mean is None else mean.flatten().tolist(),
        std=None if std is None else std.flatten().tolist(),
        bgr_to_rgb=swaps_channels(preprocessor),
    )


def check_model(
    task: str, model: nn.Module, exported: nn.Module, images: Iterable[tuple[str, np.ndarray]]
) -> Iterator[Line]:
    """Predictions of the PyTorch model against those of a file.

    Args:
        task: 'instance', 'semantic' or 'hand'.
        model: As trained, in eval mode.
        exported: `runtime.ExportedModel`.
        images: As `check_images` gives them.
    """
    pairs = []
    for name, image in images:
        expected, found = (_predict(task, m, image) for m in (model, exported))
        if task == 'instance':
            pairs.append((name, expected.pred_instances, found.pred_instances))
            continue
        compare = _compare_labels if task == 'semantic' else _compare_hands
        yield from compare(name, expected, found)
    if task == 'instance':
        yield from compare_instances(pairs)


def compare_instances(pairs: list[tuple[str, object, object]]) -> Iterator[Line]:
    """Match detections of the same label by their boxes, and compare them.

    Args:
        pairs: Name of the picture, expected and found `InstanceData`.
    """
    total = matched = 0
    for name, expected, found in pairs:
        matches = match_boxes(expected, found)
        matched += len(matches)
        total += max(len(expected), len(found))
        if not matches:
            continue
        left, right = (list(indices) for indices in zip(*matches, strict=True))
        difference = (expected.bboxes[left] - found.bboxes[right]).abs()
        yield Line(f'{name}, boxes, pixels', float(difference.max()), MAX_BOX_ERROR)
        difference = (expected.scores[left] - found.scores[right]).abs()
        yield Line(f'{name}, scores', float(difference.max()), 1e-3)
        if 'masks' in expected:
            # mmdet's own mask head gives whole images
            one, other = encode_masks(expected.masks), encode_masks(found.masks)
            worst = min(mask_iou(one[i], other[j]) for i, j in matches)
            yield Line(f'{name}, masks, smallest IoU', worst, MIN_MASK_IOU, at_least=True)
    unmatched = (total - matched) / total if total else 0.0
    yield Line(f'share without a match of {total} detections', unmatched, MAX_UNMATCHED)
    yield Line('matched detections', matched, MIN_DETECTIONS, at_least=True)


def match_boxes(expected: object, found: object) -> list[tuple[int, int]]:
    """Pairs of detections with the same label and nearly the same box, each used once."""
    pairs, free = [], torch.ones(len(found), dtype=torch.bool)
    for i in range(len(expected)):
        distance = (found.bboxes - expected.bboxes[i]).abs().amax(1)
        candidates = free & (found.labels == expected.labels[i]) & (distance < 10 * MAX_BOX_ERROR)
        if candidates.any():
            distance[~candidates] = torch.inf
            j = int(distance.argmin())
            free[j] = False
            pairs.append((i, j))
    return pairs


def mask_iou(one: dict, other: dict) -> float:
    """IoU of two run-length codes; two empty masks agree."""
    if not coco_mask.area(one) and not coco_mask.area(other):
        return 1.0
    return float(coco_mask.iou([one], [other], [0])[0, 0])


def _compare_labels(name: str, expected: object, found: object) -> Iterator[Line]:
    one, other = (sample.seg_logits.data.numpy() for sample in (expected, found))
    yield Line(f'{name}, logits', relative_error(one, other), MAX_ERROR)
    one, other = (sample.pred_sem_seg.data.numpy() for sample in (expected, found))
    same = float((one == other).mean()) if one.shape == other.shape else 0.0
    yield Line(f'{name}, share of equal labels', same, MIN_LABELS, at_least=True)


def _compare_hands(name: str, expected: object, found: object) -> Iterator[Line]:
    one, other = (
        {key: value.numpy() for key, value in sample.pred_hand.items()}
        for sample in (expected, found)
    )
    yield from check_arrays(name, one, other)


def _predict(task: str, model: nn.Module, image: np.ndarray) -> object:
    size = image.shape[:2]
    metainfo = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), img_path='')
    if task == 'instance':
        from mmdet.structures import DetDataSample as Sample
    elif task == 'semantic':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmengine.structures import BaseDataElement as Sample
    batch = {'inputs': [_bgr(image)], 'data_samples': [Sample(metainfo=metainfo)]}
    with torch.inference_mode():
        return model.test_step(batch)[0]


def _bgr(image: np.ndarray) -> torch.Tensor:
    """What a pipeline makes of a picture: (3, H, W), BGR."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def without_threshold(model: nn.Module) -> nn.Module:
    """A copy of a detector that keeps detections of any score."""
    changed = copy.deepcopy(model)
    changed.test_cfg.rcnn.score_thr = 0.0
    changed.roi_head.test_cfg.score_thr = 0.0
    return changed
