"""The check that ends every export: the file against the PyTorch model, number by number.

The PyTorch model is the one that `tools/test.py` scores, before anything was folded, with its own
preprocessing and post-processing.
"""

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import torch
from torch import nn

from ..graphs.agreement import MAX_ERROR, Line, compare_arrays, relative_error
from ..graphs.common import map_names
from ..graphs.inputs import normalized, predict_picture
from ..tasks.base import Task

PHOTOS = ('astronaut.png', 'coffee.png', 'chelsea.png')
BATCHES = (2, 3)  # one image at a time is compared with PyTorch


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


def check_backbone(
    model: nn.Module,
    run: Callable[[np.ndarray], dict[str, np.ndarray]],
    images: Iterable[tuple[str, np.ndarray]],
) -> Iterator[Line]:
    """Compare feature maps of PyTorch's backbone with those of a file.

    Args:
        model: With the backbone as trained and its preprocessor, in eval mode.
        run: The file, (1, 3, H, W) RGB to outputs by name.
        images: As `check_images` gives them.
    """
    for name, image in images:
        found = run(image.transpose(2, 0, 1)[None])
        yield from compare_arrays(name, expected_maps(model, image), found)


def check_batches(
    run: Callable[[np.ndarray], dict[str, np.ndarray]], size: tuple[int, int]
) -> Iterator[Line]:
    """Compare each image of a batch with the same image alone.

    Args:
        run: The file, (B, 3, H, W) RGB to outputs by name.
        size: Height and width.
    """
    pictures = [picture for _, picture in check_images(size, dynamic=False)][-max(BATCHES) :]
    images = np.stack(pictures).transpose(0, 3, 1, 2)
    alone = [run(image[None]) for image in images]
    for count in BATCHES:
        for name, found in run(images[:count]).items():
            worst = max(
                relative_error(one[name], found[i : i + 1]) for i, one in enumerate(alone[:count])
            )
            yield Line(f'batch of {count} and one by one, {name}', worst, MAX_ERROR)


@torch.inference_mode()
def expected_maps(model: nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """Feature maps by the names of their outputs for a picture (H, W, 3), RGB."""
    maps = model.backbone(normalized(model, image))
    return {name: m.numpy() for name, m in zip(map_names(model.backbone), maps, strict=True)}


def check_model(
    task: Task, model: nn.Module, exported: nn.Module, images: Iterable[tuple[str, np.ndarray]]
) -> Iterator[Line]:
    """Compare predictions of the PyTorch model with those of a file.

    Args:
        task: Of the model.
        model: As trained, in eval mode.
        exported: `runtime.ExportedModel`.
        images: As `check_images` gives them.
    """
    data_sample = task.data_sample()
    pairs = [
        (name, *(predict_picture(m, image, data_sample) for m in (model, exported)))
        for name, image in images
    ]
    yield from task.compare(pairs)
