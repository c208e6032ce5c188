"""Segmentors as graphs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ExportError
from .common import Normalize


class SegmentorGraph(nn.Module):
    """Images to the logits of every pixel, output `logits`.

    Args:
        normalize: In front.
        model: mmseg's `EncoderDecoder` in eval mode; modules of it that compute sizes in Python
            are replaced. Where its preprocessor pads test images to a multiple, so does this graph.

    Raises:
        ExportError: A model, or a way of testing it, that one pass over the image is not.
    """

    output_names = ('logits',)
    takes_batches = True

    def __init__(self, normalize: Normalize, model: nn.Module) -> None:
        super().__init__()
        if not hasattr(model, 'encode_decode') or isinstance(model.decode_head, nn.ModuleList):
            raise ExportError(
                f'{type(model).__name__}: of the semantic models an EncoderDecoder can be '
                'exported; --part backbone exports any'
            )
        if model.test_cfg.get('mode', 'whole') != 'whole':
            raise ExportError(
                f'model.test_cfg.mode={model.test_cfg.mode!r}: a file sees the whole image, so its '
                "scores would be others; export with --cfg-options model.test_cfg.mode='whole'"
            )
        preprocessor = model.data_preprocessor
        padding = getattr(preprocessor, 'test_cfg', None) or {}
        if padding.get('size') or (padding and preprocessor.pad_val):
            raise ExportError(
                f'model.data_preprocessor: test_cfg={padding}, pad_val={preprocessor.pad_val}: of '
                'the ways to pad, size_divisor with pad_val=0 can be exported'
            )
        self.divisor = padding.get('size_divisor') or 1
        self.normalize = normalize
        self.model = model
        self.align_corners = model.align_corners
        _replace_python_sizes(model)

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) to logits (B, classes, H, W)."""
        height, width = image.shape[2:]
        image = self.normalize(image)
        if self.divisor > 1:
            bottom, right = -height % self.divisor, -width % self.divisor
            image = F.pad(image, (0, right, 0, bottom))
        logits = self.model.decode_head(self.model.extract_feat(image))
        logits = F.interpolate(
            logits, size=image.shape[2:], mode='bilinear', align_corners=self.align_corners
        )
        return logits[:, :, :height, :width] if self.divisor > 1 else logits


class _Upsample(nn.Module):
    """mmseg's `Upsample`, which computes the size in Python, with a size that follows the image."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.args = dict(mode=source.mode, align_corners=source.align_corners)
        self.scale_factor = int(source.scale_factor)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        size = (height * self.scale_factor, width * self.scale_factor)
        return F.interpolate(x, size=size, **self.args)


class AdaptivePool(nn.Module):
    """`nn.AdaptiveAvgPool2d`, which ONNX has for one cell alone, as a product with two matrices."""

    def __init__(self, source: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        size = source.output_size
        self.cells = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C, rows, columns) of averages."""
        rows, columns = (_averages(n, k, x) for n, k in zip(x.shape[2:], self.cells, strict=True))
        return rows @ x @ columns.T


def _averages(length: int | Tensor, cells: int, like: Tensor) -> Tensor:
    """(cells, length): with which weights the places along an axis are averaged in each cell."""
    numbers = torch.arange(cells, device=like.device)[:, None]
    start, end = numbers * length // cells, ((numbers + 1) * length + cells - 1) // cells
    places = torch.arange(length, device=like.device)
    inside = (places >= start) & (places < end)
    return inside.to(like.dtype) / (end - start).to(like.dtype)


def _replace_python_sizes(module: nn.Module) -> None:
    """Put modules whose sizes follow the image in place of those that compute them in Python."""
    for name, child in module.named_children():
        is_mmseg = type(child).__module__.startswith('mmseg') and type(child).__name__ == 'Upsample'
        if is_mmseg and not child.size and float(child.scale_factor).is_integer():
            setattr(module, name, _Upsample(child))
        elif isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
            setattr(module, name, AdaptivePool(child))
        else:
            _replace_python_sizes(child)
