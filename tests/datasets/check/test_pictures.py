"""Depth, orientation and suffix of picture files, by the check of the data."""

import cv2
import numpy as np
import pytest
from PIL import Image

from fastvit_dense.datasets.check.datasets import check_config
from tests.datasets.conftest import SemanticTree


def warnings(cfg, **options):
    return list(check_config(cfg, **options).findings('warning'))


def turn(path, code, size=None):
    """Write an EXIF orientation into a picture; `size` crops it to width and height before."""
    with Image.open(path) as image:
        image = image.crop((0, 0, *size)) if size else image.copy()
    exif = Image.Exif()
    exif[0x0112] = code
    image.save(path, exif=exif)


@pytest.mark.parametrize('code', [2, 3, 4])
@pytest.mark.parametrize('read_files', [True, False])
def test_orientations_that_keep_the_size(semantic_tree, coco_tree, code, read_files):
    for tree in (semantic_tree, coco_tree):
        assert warnings(tree.config(), read_files=read_files) == []
        turn(tree.images[1], code)
        (finding,) = warnings(tree.config(), read_files=read_files)
        assert (finding.kind, finding.where) == ('exif', str(tree.images[1]))
        assert f'1 of 3 pictures have an EXIF orientation ({code}; ' in finding.message


@pytest.mark.parametrize('code', [5, 6, 7, 8])
def test_orientations_that_the_size_of_the_mask_shows(semantic_tree, code):
    turn(semantic_tree.images[0], code)
    (error,) = check_config(semantic_tree.config()).errors
    assert f'found 60x40 (the picture is turned by its EXIF orientation, {code})' in error
    cv2.imwrite(str(semantic_tree.masks[0]), semantic_tree.labels[0].T)
    assert check_config(semantic_tree.config()).errors == []
    assert warnings(semantic_tree.config()) == []


def test_a_square_shows_nothing(semantic_tree):
    turn(semantic_tree.images[0], 6, (40, 40))
    cv2.imwrite(str(semantic_tree.masks[0]), semantic_tree.labels[0][:, :40])
    (finding,) = warnings(semantic_tree.config())
    assert finding.kind == 'exif'


def test_more_than_8_bits(semantic_tree):
    for path in semantic_tree.images:
        image = cv2.imread(str(path)).astype(np.uint16) * 4
        image[0, 0] = 1023
        cv2.imwrite(str(path.with_suffix('.png')), image)
        path.unlink()
    for read_files in (True, False):
        (finding,) = warnings(semantic_tree.config(img_suffix='.png'), read_files=read_files)
        assert finding.kind == 'bit_depth'
        assert '3 of 3 pictures have more than 8 bits' in finding.message
        assert 'values up to 1023: read as 10 bits' in finding.message


@pytest.mark.parametrize('read_files', [True, False])
def test_image_bits_below_those_of_the_pictures(semantic_tree, read_files):
    for path in semantic_tree.images:
        image = cv2.imread(str(path)).astype(np.uint16) * 16
        image[0, 0] = 4095
        cv2.imwrite(str(path.with_suffix('.png')), image)
    cfg = semantic_tree.config(img_suffix='.png')
    cfg.image_bits = 10
    (message,) = check_config(cfg, read_files=read_files).errors
    assert 'expected values of 10 bits, up to 1023 (image_bits), found 4095 in 3' in message
    assert message.endswith('set image_bits=12')
    cfg.image_bits = 12
    assert check_config(cfg, read_files=read_files).errors == []


@pytest.mark.parametrize('read_files', [True, False])
def test_training_and_val_have_one_scale(tmp_path, read_files):
    trees = [SemanticTree(tmp_path / name) for name in ('train', 'val')]
    for tree, highest in zip(trees, (1023, 4095), strict=True):
        for path in tree.images:
            image = cv2.imread(str(path)).astype(np.uint16)
            image[0, 0] = highest
            cv2.imwrite(str(path.with_suffix('.png')), image)
    cfg = trees[0].config(img_suffix='.png')
    cfg.val_dataloader = trees[1].config('val', img_suffix='.png').val_dataloader
    found = [f.message for f in warnings(cfg, read_files=read_files) if f.kind == 'bit_depth']
    assert len(found) == 2
    assert 'values up to 1023: read as 12 bits, 4095 is white; image_bits=12' in found[0]
    assert 'values up to 4095: read as 12 bits, 4095 is white; image_bits=12' in found[1]
    cfg.image_bits = 10
    (message,) = check_config(cfg, read_files=read_files).errors
    assert message.startswith(str(tmp_path / 'val'))


def test_pictures_of_other_suffixes_are_counted_and_named(semantic_tree):
    semantic_tree.images[2].rename(semantic_tree.images[2].with_suffix('.JPG'))
    semantic_tree.masks[2].unlink()
    for read_files in (True, False):
        (finding,) = warnings(semantic_tree.config(), read_files=read_files)
        assert finding.kind == 'suffix'
        assert finding.message.startswith('1 pictures are not used: 1 *.JPG (2.JPG)')
