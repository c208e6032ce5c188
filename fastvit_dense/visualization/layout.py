"""Pictures beside and below each other."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..datasets.picture_files import read_picture_bytes
from ..errors import DataError, MissingFileError

CLOSE_UP = 240  # least height of a close-up, pixels


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
    """Put pictures of one height beside each other, each under its caption.

    `info['panels']` of the picture tells where each of them lies: left, top, right, bottom.
    """
    height = max(picture.height for picture in pictures.values())
    bar = max(18, height // 14)
    width = sum(picture.width for picture in pictures.values()) + 6 * (len(pictures) - 1)
    canvas = Image.new('RGB', (width, height + bar), (255, 255, 255))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(round(bar * 0.7))
    x = 0
    panels = {}
    for caption, picture in pictures.items():
        draw.text((x + 4, bar / 2), caption, fill=(30, 30, 30), font=font, anchor='lm')
        canvas.paste(picture, (x, bar))
        panels[caption] = x, bar, x + picture.width, bar + picture.height
        x += picture.width + 6
    canvas.info['panels'] = panels
    return canvas


def close_up(picture: Image.Image, box: Sequence[float] | None) -> Image.Image:
    """Cut the surroundings of a box out of each picture of `side_by_side`, and mark the box.

    Args:
        picture: Another one is returned as it is.
        box: x, y, width, height in the pixels of a panel; None: all of it.
    """
    panels = picture.info.get('panels')
    if panels is None or box is None:
        return picture
    x, y, width, height = box
    room = max(24.0, 0.4 * max(width, height))
    parts = {}
    for caption, panel in panels.items():
        image = picture.crop(panel)
        left, top = max(x - room, 0), max(y - room, 0)
        right, bottom = min(x + width + room, image.width), min(y + height + room, image.height)
        part = image.crop((round(left), round(top), round(right), round(bottom)))
        scale = max(1.0, CLOSE_UP / max(part.height, 1))
        part = part.resize((round(part.width * scale), round(part.height * scale)))
        corners = ((x - left, y - top), (x + width - left, y + height - top))
        marked = [tuple(scale * value for value in corner) for corner in corners]
        for color, line in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            ImageDraw.Draw(part).rectangle(marked, outline=color, width=line)
        parts[caption] = part
    return side_by_side(parts)


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
