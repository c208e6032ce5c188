"""Frames of a video or a camera, and a video of pictures, through OpenCV."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np

from ..checkpoints.files import replacing
from ..errors import ImageError
from .addresses import address_path, is_address

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv')
FASTEST = 1000.0  # frames a second; what a file says beyond that is no rate
USUAL = 25.0
CAMERA = re.compile(r'(?:camera:)?([0-9]{1,4})')
STREAM = re.compile(r'(?:camera:)?((?:rtsps?|rtmp|udp)://.+)|camera:(https?://.+)')


def camera_of(source: str) -> int | str | None:
    """Number or address of the camera that a word names; None where it names none.

    Numbers are `0` and `camera:0`, unless a file or a folder here is called so; addresses are
    `rtsp://HOST/NAME`, and of http `camera:http://HOST/NAME`.
    """
    if stream := STREAM.fullmatch(source):
        return stream[1] or stream[2]
    number = CAMERA.fullmatch(source)
    return int(number[1]) if number and not Path(source).exists() else None


def is_video(source: str) -> bool:
    """Tell whether a word names a video, or a camera by its number or address."""
    return camera_of(source) is not None or _path(source).suffix.lower() in VIDEO_SUFFIXES


def video_name(source: str) -> str:
    """Name of the result files of a video or a camera: `clip`, `camera0`, `camera_HOST_NAME`."""
    camera = camera_of(source)
    if camera is None:
        return _path(source).stem
    if isinstance(camera, int):
        return f'camera{camera}'
    return '_'.join(('camera', *address_path(camera).parts))


def _path(source: str) -> PurePath:
    return address_path(source) if is_address(source) else Path(source)


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own lines on what it cannot open from the console; ours tells it."""
    level = cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(level)


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        number: From 0.
        seconds: When it is shown, from the start.
        image: (H, W, 3) uint8, RGB.
    """

    number: int
    seconds: float
    image: np.ndarray


class Video:
    """The frames of a video, or of a camera, one after another.

    Args:
        source: A file or its http(s) address, or a camera as `camera_of` knows them.

    Attributes:
        rate: Frames a second.
        count: Number of frames as the file tells it; None for a camera.

    Raises:
        ImageError: It cannot be opened.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        camera = camera_of(source)
        self.camera = camera is not None
        if not (self.camera or is_address(source) or Path(source).is_file()):
            raise ImageError(f'{source}: no such file')
        with _quiet_opencv():
            self.capture = cv2.VideoCapture(source if camera is None else camera)
        if not self.capture.isOpened():
            kind = 'camera' if self.camera else 'video'
            hint = f'; cameras here: {_cameras()}' if isinstance(camera, int) else ''
            raise ImageError(f'{source}: expected a {kind} that OpenCV opens{hint}')
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= FASTEST else USUAL
        count = int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 and not self.camera else None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, timed by the file, or by the clock for a camera."""
        number, start, last = 0, time.monotonic(), -1.0
        try:
            while True:
                found, image = self.capture.read()
                if not found:
                    return
                seconds = number / self.rate
                told = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if self.camera:
                    seconds = time.monotonic() - start
                elif told > last and (told > 0 or number == 0):
                    seconds = told
                last = seconds
                yield Frame(number, seconds, np.ascontiguousarray(image[..., ::-1]))
                number += 1
        finally:
            self.capture.release()


def _cameras() -> str:
    return ', '.join(map(str, sorted(Path('/dev').glob('video*')))) or 'none (no /dev/video*)'


class VideoWriter:
    """A video of constant rate that shows each picture when it is due.

    Args:
        path: `.mp4`, written as it grows.
        rate: Frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self.writer: cv2.VideoWriter | None = None
        self.size = (0, 0)
        self.last: np.ndarray | None = None
        self.written = 0

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Show a picture (H, W, 3) uint8, RGB, from a time on; until then the one before it.

        Raises:
            ImageError: OpenCV cannot write this kind of video.
        """
        image = np.ascontiguousarray(image[..., ::-1])
        if self.writer is None:
            # sides that codecs with half the colours take
            self.size = image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self.writer = cv2.VideoWriter(str(self.path), code, self.rate, self.size)
            if not self.writer.isOpened():
                raise ImageError(f'{self.path}: OpenCV cannot write this video')
        if image.shape[1::-1] != self.size:
            bottom, right = self.size[1] - image.shape[0], self.size[0] - image.shape[1]
            if bottom in (0, 1) and right in (0, 1):
                image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
            else:
                image = cv2.resize(image, self.size)
        while self.last is not None and self.written < round(seconds * self.rate):
            self._put(self.last)
        if self.written <= round(seconds * self.rate):
            self._put(image)
        self.last = image

    def _put(self, image: np.ndarray) -> None:
        assert self.writer is not None
        self.writer.write(image)
        self.written += 1

    def close(self) -> None:
        """Finish the file."""
        if self.writer is not None:
            self.writer.release()


@contextmanager
def writing_video(path: Path, rate: float) -> Iterator[VideoWriter]:
    """Write a video aside; after the block, or where it is interrupted, it takes its name."""
    with replacing(path) as part:
        writer = VideoWriter(part, rate)
        try:
            yield writer
        finally:
            writer.close()
