"""Label maps of segmentors strip by strip: the same labels, without logits of the whole picture.

mmseg resizes the logits of all classes to the network's input and then to the picture, and looks
for the highest there: 150 classes of 3000 x 2000 pixels are 3.6 GB. Here both steps and the search
go over a strip of rows at a time, and only the labels are kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP = 1 << 24  # values of a strip, over all classes
# metrics that look at labels alone
READ_LABELS = ('SemanticMetric', 'IoUMetric')


@contextmanager
def labels_in_strips(model: Any, metrics: Iterable[str] = ()) -> Iterator[None]:
    """In the block a segmentor of mmseg gives labels strip by strip, and no logits; others stay.

    Args:
        model: Where its head can wait with resizing, that goes by strips, too.
        metrics: Types of the metrics that read its predictions; others than those that read labels
            alone keep the logits.
    """
    changed = []
    if hasattr(model, 'postprocess_result'):  # without, mmseg may not even be imported
        changed = _follow_strips(model, metrics)
    try:
        yield
    finally:
        for module, name in changed:
            delattr(module, name)


def _follow_strips(model: Any, metrics: Iterable[str]) -> list[tuple[Any, str]]:
    """Change a segmentor of mmseg for `labels_in_strips`; what was changed, by its names."""
    from mmseg.models import BaseSegmentor
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    plain = type(model).postprocess_result is BaseSegmentor.postprocess_result
    if not plain or any(str(name).rpartition('.')[2] not in READ_LABELS for name in metrics):
        return []
    model.postprocess_result = MethodType(postprocess, model)
    head: Any = model.decode_head
    if any(
        getattr(type(head), name, None) is not getattr(BaseDecodeHead, name)
        for name in ('predict', 'predict_by_feat')
    ):
        return [(model, 'postprocess_result')]
    head.predict = MethodType(predict_without_resizing, head)
    return [(model, 'postprocess_result'), (head, 'predict')]


def predict_without_resizing(
    head: Any, inputs: Sequence[Tensor], batch_img_metas: list[dict], test_cfg: dict
) -> Tensor:
    """Do what `BaseDecodeHead.predict` does; whole pictures are resized by `postprocess`."""
    logits = head.forward(inputs)
    if test_cfg.get('mode', 'whole') == 'whole':
        return logits
    return head.predict_by_feat(logits, batch_img_metas)


def postprocess(model: Any, seg_logits: Tensor, data_samples: Any = None) -> list[Any]:
    """Do what `BaseSegmentor.postprocess_result` does, but for `seg_logits`, which it keeps."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    if data_samples is None:
        data_samples = [SegDataSample() for _ in seg_logits]
    first = data_samples[0].metainfo
    slides = model.test_cfg.get('mode', 'whole') != 'whole'
    size = first.get('pad_shape', first.get('img_shape'))
    size = tuple(seg_logits.shape[2:]) if slides or size is None else tuple(size[:2])
    for logits, sample in zip(seg_logits, data_samples, strict=True):
        meta = sample.metainfo
        padding = meta.get('img_padding_size', meta.get('padding_size', [0] * 4))
        labels = label_map(
            logits,
            size,
            meta.get('ori_shape', size)[:2],
            padding=padding,
            flip=meta.get('flip_direction') if meta.get('flip') else None,
            align_corners=model.align_corners,
            threshold=model.decode_head.threshold or 0.5,
        )
        sample.set_data({'pred_sem_seg': PixelData(data=labels[None])})
    return list(data_samples)


def label_map(
    logits: Tensor,
    size: tuple[int, int],
    shape: tuple[int, int],
    *,
    padding: Sequence[int] = (0, 0, 0, 0),
    flip: str | None = None,
    align_corners: bool = False,
    threshold: float = 0.5,
) -> Tensor:
    """Resize logits to the network's input, then to the picture, and take the highest.

    Args:
        logits: (C, h, w).
        size: Height and width of the network's input.
        shape: Height and width of the picture.
        padding: Columns and rows of the input beside the picture: left, right, top, bottom.
        flip: 'horizontal', 'vertical' or None: how the input was mirrored.
        align_corners: As in `torch.nn.functional.interpolate`.
        threshold: Of one class under a sigmoid; 1 above it.

    Returns:
        (H, W) int64.
    """
    left, right, top, bottom = padding
    if flip:
        vertical = flip == 'vertical'
        logits = logits.flip(1 if vertical else 2)
        if vertical:
            top, bottom = bottom, top
        else:
            left, right = right, left
    inner = size[0] - top - bottom
    labels = torch.empty(shape, dtype=torch.int64, device=logits.device)
    rows = max(STRIP // (len(logits) * max(shape[1], size[1])), 1)
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        low, high, weight = _sources(inner, shape[0], start, stop, align_corners, logits)
        begin, end = int(low.min()), int(high.max()) + 1
        band = _resized_rows(logits, size, top + begin, top + end, align_corners)
        band = band[:, :, left : size[1] - right]
        strip = _blend(band, low - begin, high - begin, weight, shape[1], align_corners)
        if len(logits) > 1:
            labels[start:stop] = strip.argmax(0)
        else:
            labels[start:stop] = strip[0].sigmoid() > threshold
    return labels


def _resized_rows(
    maps: Tensor, size: tuple[int, int], start: int, stop: int, align_corners: bool
) -> Tensor:
    """Rows of maps (C, h, w) resized to a size."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps[:, start:stop]
    low, high, weight = _sources(maps.shape[1], size[0], start, stop, align_corners, maps)
    begin, end = int(low.min()), int(high.max()) + 1
    band = maps[:, begin:end]
    return _blend(band, low - begin, high - begin, weight, size[1], align_corners)


def _sources(
    rows: int, size: int, start: int, stop: int, align_corners: bool, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """For rows of a resized map: the two rows that each comes from, and the weight of the second.

    PyTorch's own formula, with its own rounding: `upsample_bilinear2d` in ATen's `UpSample.h`.
    """
    places = torch.arange(start, stop, dtype=torch.float64, device=like.device)
    if align_corners:
        scale = _rounded((rows - 1) / (size - 1) if size > 1 else 0.0)
        source = scale * places
    else:
        source = (_rounded(rows / size) * (places + 0.5) - 0.5).clamp(min=0)
    source = source.float()
    low = source.long().clamp(max=rows - 1)
    high = (low + 1).clamp(max=rows - 1)
    return low, high, (source - low).clamp(0, 1).to(like.dtype)


def _rounded(number: float) -> float:
    return float(torch.tensor(number, dtype=torch.float32))


def _blend(
    band: Tensor, low: Tensor, high: Tensor, weight: Tensor, width: int, align_corners: bool
) -> Tensor:
    """Rows between rows of a band (C, h, w), resized to a width."""
    if band.shape[2] != width:
        size = (band.shape[1], width)
        band = F.interpolate(band[None], size=size, mode='bilinear', align_corners=align_corners)[0]
    if not weight.any():
        return band[:, low]
    weight = weight[:, None]
    return (1 - weight) * band[:, low] + weight * band[:, high]
