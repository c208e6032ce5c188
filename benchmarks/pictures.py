"""Pictures that whole models are timed with."""

from pathlib import Path

from mmengine.config import Config

from fastvit_dense.config.loaders import datasets_of

WIDEST = 16 / 9
USUAL = 4 / 3
DEFAULT_SIZE = (640, 480)


def picture_size(cfg: Config) -> tuple[int, int]:
    """Width and height of the largest photograph that the test pipeline does not shrink.

    It lies, as the pipeline's scale does, but for scales wider than photographs are: (2048, 512)
    bounds the short side alone, and gives one of 4:3.
    """
    dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
    sizes = (step.get('scale', step.get('size')) for step in dataset.pipeline)
    size = next((size for size in sizes if isinstance(size, int | list | tuple)), DEFAULT_SIZE)
    short, long = (size, size) if isinstance(size, int) else sorted(size)
    return (long if long <= WIDEST * short else round(USUAL * short)), short


def make_picture(folder: str, size: tuple[int, int]) -> str:
    """Write a photograph of scikit-image's as a JPEG file of this width and height."""
    import skimage.data
    from PIL import Image

    path = Path(folder) / 'photo.jpg'
    Image.fromarray(skimage.data.astronaut()).resize(size).save(path, quality=90)
    return str(path)
