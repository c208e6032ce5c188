"""Files of unusual kinds: the right pixels, or the reason why there are none."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from fastvit_dense.datasets.decoding import decode_image, orientation_of, picture_array, size_of
from fastvit_dense.errors import DataError

SCENE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
FOURTH = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)
FOUR = np.dstack([SCENE, FOURTH])
SHORT, LONG = 3, 4


def tiff(array, colours, extra=None, numbers=1):
    """An uncompressed TIFF, written by hand: (H, W, bands)."""
    height, width, bands = array.shape
    bits = array.dtype.itemsize * 8
    count = 10 + (extra is not None) + (numbers != 1)
    end = 8 + 2 + 12 * count + 4
    more, place = b'', end

    def entry(tag, kind, *values):
        nonlocal more
        data = struct.pack('<' + {SHORT: 'H', LONG: 'I'}[kind] * len(values), *values)
        if len(data) > 4:
            more, data = more + data, struct.pack('<I', place + len(more))
        return struct.pack('<HHI', tag, kind, len(values)) + data.ljust(4, b'\0')

    def entries(start):
        yield entry(256, LONG, width)
        yield entry(257, LONG, height)
        yield entry(258, SHORT, *[bits] * bands)
        yield entry(259, SHORT, 1)
        yield entry(262, SHORT, colours)
        yield entry(273, LONG, start)
        yield entry(277, SHORT, bands)
        yield entry(278, LONG, height)
        yield entry(279, LONG, array.nbytes)
        yield entry(284, SHORT, 1)
        if extra is not None:
            yield entry(338, SHORT, *[extra] * (bands - (3 if colours == 2 else 1)))
        if numbers != 1:
            yield entry(339, SHORT, *[numbers] * bands)

    list(entries(0))
    start, more = end + len(more), b''
    table = b''.join(entries(start))
    head = struct.pack('<2sHIH', b'II', 42, 8, count)
    return head + table + b'\0\0\0\0' + more + array.tobytes()


@pytest.mark.parametrize('extra', [0, 1, 2])
def test_a_fourth_band_of_a_tiff_is_never_multiplied(extra):
    data = tiff(FOUR, colours=2, extra=extra)  # nothing known, associated and plain alpha
    assert (decode_image(data)[..., ::-1] == SCENE).all()
    with Image.open(io.BytesIO(data)) as image:
        assert (picture_array(image) == SCENE).all()


def test_four_grey_bands_are_red_green_blue_and_another():
    assert (decode_image(tiff(FOUR, colours=1, extra=0))[..., ::-1] == SCENE).all()
    deep = FOUR.astype(np.uint16) * 16
    for colours in (1, 2):
        found = decode_image(tiff(deep, colours=colours, extra=0))
        assert (found[..., ::-1] == deep[..., :3]).all()
    assert (decode_image(tiff(SCENE, colours=1, extra=0))[..., ::-1] == SCENE).all()


@pytest.mark.parametrize(
    ('array', 'numbers', 'found'),
    [
        (np.dstack([FOUR, FOUR]), 1, '8 bands of 8 bits'),
        (SCENE.astype(np.float32), 3, '3 bands of 32 bits .floating-point'),
    ],
)
def test_other_tiffs_say_what_they_are(array, numbers, found):
    with pytest.raises(
        DataError, match=f'expected a TIFF of 1, 3 or 4 bands.*found one of {found}'
    ):
        decode_image(tiff(array, colours=1 if numbers == 1 else 2, extra=0, numbers=numbers))


def test_a_stack_of_pages_is_named():
    file = io.BytesIO()
    pages = [Image.fromarray(FOURTH) for _ in range(8)]
    pages[0].save(file, 'TIFF', save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match='found a TIFF of 8 pages'):
        decode_image(file.getvalue())
    with Image.open(file) as image, pytest.raises(DataError, match='found a TIFF of 8 pages'):
        picture_array(image)


def test_heic_is_named():
    data = b'\0\0\0\x18ftypheic' + bytes(100)
    with pytest.raises(DataError, match='found HEIC; convert it to JPEG or PNG'):
        decode_image(data)


def huge_png(width, height):
    """The header of a one-bit PNG; nothing of it may be decoded."""
    head = struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0)
    chunks = ((b'IHDR', head), (b'IDAT', zlib.compress(b'')), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_more_pixels_than_opencv_reads(monkeypatch):
    data = huge_png(40_000, 30_000)
    with pytest.raises(DataError, match='at most 1073741824 pixels, found'):
        decode_image(data)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
    with pytest.raises(DataError, match='found 40000x30000'):
        decode_image(data)
    with (
        Image.open(io.BytesIO(data)) as image,
        pytest.raises(DataError, match='found 40000x30000'),
    ):
        picture_array(image)


@pytest.mark.parametrize('suffix', ['jpeg', 'png', 'tiff', 'webp'])
def test_a_cut_pillow_image_says_so(suffix):
    file = io.BytesIO()
    Image.fromarray(SCENE).save(file, suffix)
    cut = file.getvalue()[: len(file.getvalue()) * 2 // 3]
    try:
        image = Image.open(io.BytesIO(cut))
    except OSError:
        image = None  # Pillow refuses to open it
    if image is not None:
        with pytest.raises(DataError, match='expected an image, found one that cannot be read: '):
            picture_array(image)


@pytest.mark.parametrize('code', range(1, 9))
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'tif', 'webp'])
def test_orientation_is_applied_once_for_path_and_pillow_image(code, suffix, tmp_path):
    path = tmp_path / f'picture.{suffix}'
    exif = Image.Exif()
    exif[0x0112] = code
    options = {'lossless': True} if suffix == 'webp' else {}
    Image.fromarray(SCENE).save(path, exif=exif, **options)
    array = decode_image(path.read_bytes())
    with Image.open(path) as image:
        assert (picture_array(image) == array[..., ::-1]).all()
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert (array[..., ::-1] == upright).all()
    assert orientation_of(path) == code
    assert size_of(path) == upright.shape[:2]


def test_orientation_of_16_bits(tmp_path):
    """OpenCV turns pictures itself, or does not: a PNG here with EXIF put in by Pillow."""
    path = tmp_path / 'picture.png'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(FOURTH.astype(np.uint16) * 16).save(path, exif=exif)
    expected = np.rot90(FOURTH, -1).astype(np.uint16)[..., None] * 16
    assert (decode_image(path.read_bytes()) == expected).all()


@pytest.mark.parametrize(
    'mode', ['1', 'L', 'P', 'RGB', 'RGBA', 'LA', 'CMYK', 'YCbCr', 'PA', 'RGBX']
)
def test_modes_of_pillow(mode):
    image = Image.fromarray(SCENE)
    image = image.convert('P').convert(mode) if mode == 'PA' else image.convert(mode)
    if mode in ('RGBA', 'LA'):
        image.putalpha(50)
    array = picture_array(image)
    assert array.dtype == np.uint8
    expected = {'RGB': SCENE, 'RGBA': SCENE, 'RGBX': SCENE}.get(mode)
    if expected is None:
        source = image.convert('L') if mode == 'LA' else image
        expected = np.asarray(source.convert('RGB'))
    assert (array == expected).all()


def test_alpha_of_a_png_is_left_out(tmp_path):
    path = tmp_path / 'picture.png'
    cv2.imwrite(str(path), FOUR)
    assert (decode_image(path.read_bytes()) == FOUR[..., :3]).all()


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('from_path', [True, False])
def test_16_bits_of_a_pillow_image_are_the_same_each_time(suffix, from_path, tmp_path):
    deep = SCENE.astype(np.uint16) * 16 + 5
    path = tmp_path / f'picture.{suffix}'
    cv2.imwrite(str(path), deep[..., ::-1])
    source = path if from_path else io.BytesIO(path.read_bytes())
    with Image.open(source) as image:
        for _ in range(3):
            assert (picture_array(image) == deep).all()
        np.asarray(image)  # loads it with 8 bits
        assert (picture_array(image) == deep).all()
        image.paste((0, 0, 0), (0, 0, 9, 9))
        with pytest.raises(DataError, match='changed after reading, with 8 of the 16 bits'):
            picture_array(image)
