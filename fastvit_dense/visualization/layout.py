"""Pictures beside and below each other."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..datasets.picture_files import read_picture_bytes
from ..errors import DataError, MissingFileError


def stack_pictures(paths: Sequence[Path], width: int = 960) -> Image.Image:
    """Put picture files below each other, all scaled to one width in pixels."""
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            height = round(picture.height * width / picture.width)
            scaled = picture.convert('RGB').resize((width, height), Image.Resampling.LANCZOS)
            pictures.append(scaled)
    canvas = Image.new('RGB', (width, sum(p.height for p in pictures)), (255, 255, 255))
    y = 0
    for scaled in pictures:
        canvas.paste(scaled, (0, y))
        y += scaled.height
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


def read_picture(path: Path) -> np.ndarray:
    """Read a picture file as (H, W, 3) uint8, RGB.

    Raises:
        MissingFileError: It is not there.
        DataError: It is no plain file, too large, or no picture.
    """
    if not os.path.lexists(path):
        raise MissingFileError(f'no image {path.name} in the data folder')
    try:
        with Image.open(io.BytesIO(read_picture_bytes(path))) as image:
            return np.asarray(image.convert('RGB'))
    except (OSError, SyntaxError) as error:
        raise DataError(f'{path}: cannot be decoded as an image') from error
