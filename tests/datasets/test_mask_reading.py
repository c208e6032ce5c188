import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image

from fastvit_dense.datasets.mask_reading import read_mask
from fastvit_dense.errors import DataError
from fastvit_dense.evaluation.label_maps import read_label_map
from tests.facts import raises_naming

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_masks_of_every_depth_give_their_indices(tmp_path):
    labels = np.random.default_rng(0).integers(0, 5, (7, 9), dtype=np.uint8)
    path = str(tmp_path / 'mask.png')
    palette = Image.fromarray(labels).convert('P')
    palette.putdata(labels.ravel().tolist())
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 7, 7, 7])
    palette.save(path)
    assert np.array_equal(read_mask(path), labels)
    cv2.imwrite(path, labels)
    assert np.array_equal(read_mask(path), labels)
    deep = labels.astype(np.uint16) * 256  # eight bits of it would all be 0
    deep[0, 0] = 65535
    cv2.imwrite(path, deep)
    expected = labels.astype(int) * 256
    expected[0, 0] = 255
    assert np.array_equal(read_mask(path), expected)
    Image.fromarray(labels > 2).save(path)
    assert np.array_equal(read_mask(path), labels > 2)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_colour_masks_are_refused_with_a_hint(mode, tmp_path):
    path = tmp_path / 'mask.png'
    Image.fromarray(NOISE).convert(mode).save(path)
    with raises_naming(DataError, path, 'class index', 'found', mode, 'replace each colour'):
        read_mask(str(path))


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_masks_of_a_few_bits_hold_their_values(bits, tmp_path):
    values = np.arange(48).reshape(6, 8) % (1 << bits)
    packed = np.packbits((values[..., None] >> np.arange(bits)[::-1]) & 1, axis=None)
    rows = b''.join(b'\0' + row.tobytes() for row in packed.reshape(6, -1))
    head = struct.pack('>IIBBBBB', 8, 6, bits, 0, 0, 0, 0)
    chunks = ((b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b''))
    path = tmp_path / 'mask.png'
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + b''.join(
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    assert (read_mask(str(path)) == values).all()
    assert (read_label_map(path) == values).all()


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
@pytest.mark.parametrize('suffix', ['gif', 'tif'])
def test_damaged_masks_of_several_pages_are_named(suffix, tmp_path):
    """Whatever Pillow raises; a GIF that is cut in its second frame may be read as one of one."""
    path = tmp_path / f'mask.{suffix}'
    page = Image.new('L', (30, 20), 1)
    page.save(path, save_all=True, append_images=[Image.new('L', (30, 20), 2)])
    content = path.read_bytes()
    for size in range(1, len(content), 3):
        path.write_bytes(content[:size])
        with suppress(DataError):
            read_mask(str(path))
    path.write_bytes(content)
    with pytest.raises(DataError, match='found 2 pages or frames'):
        read_mask(str(path))


def test_a_mask_with_alpha_says_which_channel_to_write(tmp_path):
    path = tmp_path / 'mask.png'
    Image.fromarray(NOISE[..., 0] % 2).convert('LA').save(path)
    with raises_naming(DataError, path, 'mode LA', 'values 0, 1', 'mask[..., 0]'):
        read_mask(str(path))
