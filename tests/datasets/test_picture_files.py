"""Pictures are refused by their headers, before memory is taken for them."""

import os
import resource
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.datasets.loading import read_image
from fastvit_dense.datasets.mask_reading import read_mask
from fastvit_dense.datasets.picture_files import SWITCH, pixel_limit
from fastvit_dense.errors import ConfigError, DataError, PredictionError
from fastvit_dense.evaluation.label_maps import read_label_map
from fastvit_dense.visualization.layout import read_picture
from tests.facts import raises_naming

pytestmark = pytest.mark.filterwarnings('ignore:Image size')  # what we filter, pytest shows
READERS = (read_image, read_mask, read_label_map, read_picture)


def write_png(path, width, height, colour=2):
    """A black PNG of any size, packed row by row: 30,000 x 30,000 pixels take 2.6 MB."""

    def chunk(kind, data):
        check = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + check

    rows = bytes((width * (3 if colour == 2 else 1) + 1) * 100)
    packer = zlib.compressobj(1)
    packed = b''.join(packer.compress(rows) for _ in range(height // 100)) + packer.flush()
    header = struct.pack('>IIBBBBB', width, height, 8, colour, 0, 0, 0)
    parts = chunk(b'IHDR', header), chunk(b'IDAT', packed), chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(parts))


@pytest.fixture(scope='module')
def bomb(tmp_path_factory):
    """A grey PNG of 400 megapixels."""
    path = tmp_path_factory.mktemp('bomb') / 'bomb.png'
    write_png(path, 20_000, 20_000, colour=0)
    return path


@pytest.mark.parametrize('read', READERS)
def test_too_many_pixels(bomb, read):
    start, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kind = PredictionError if read is read_label_map else DataError
    with raises_naming(kind, bomb, 179, 'megapixels', SWITCH):
        read(bomb if read in (read_label_map, read_picture) else str(bomb))
    assert time.perf_counter() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000  # kilobytes


def test_switch(tmp_path, monkeypatch):
    """More, and fewer, are allowed by the variable; Pillow's own limit follows it."""
    write_png(tmp_path / 'x.png', 300, 200)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)  # what it is before is found again after
    monkeypatch.setenv(SWITCH, '0.05')
    with raises_naming(DataError, tmp_path / 'x.png', '300x200', SWITCH):
        read_image(str(tmp_path / 'x.png'))
    monkeypatch.setenv(SWITCH, '0.06')
    assert read_image(str(tmp_path / 'x.png')).shape == (200, 300, 3)
    assert Image.MAX_IMAGE_PIXELS == 60_000
    for value in ('many', '0', '-5', 'nan', 'inf'):
        monkeypatch.setenv(SWITCH, value)
        with raises_naming(ConfigError, SWITCH, value):
            pixel_limit()


def test_a_picture_for_tiles_is_read(tmp_path):
    """10,000 x 10,000 pixels are within the limit: only the header is looked at here."""
    from fastvit_dense.datasets.picture_files import size_problem

    write_png(tmp_path / 'x.png', 10_000, 10_000, colour=0)
    assert size_problem((tmp_path / 'x.png').read_bytes()) is None


@pytest.mark.parametrize('read', READERS)
def test_what_is_no_plain_file(tmp_path, read):
    """A device or a pipe would be read without end, a sparse file costs its owner nothing."""
    os.mkfifo(tmp_path / 'pipe')
    os.symlink('/dev/zero', tmp_path / 'zero.png')
    os.symlink('loop.png', tmp_path / 'loop.png')
    with (tmp_path / 'sparse.png').open('wb') as file:
        file.truncate(10**12)
    for name in ('pipe', 'zero.png', 'loop.png', 'sparse.png', '.', 'x' * 300, 'a\0b'):
        path = tmp_path / name
        with pytest.raises(DataError):
            read(path if read in (read_label_map, read_picture) else str(path))


def test_formats_without_a_header_that_pillow_reads(tmp_path):
    """Decoders that know more formats than Pillow are asked all the same."""
    import cv2

    picture = np.arange(600, dtype=np.uint8).reshape(10, 20, 3)
    cv2.imwrite(str(tmp_path / 'x.ras'), picture)
    np.testing.assert_array_equal(read_image(str(tmp_path / 'x.ras')), picture)
