"""The photographs of the sample data: listed, unchanged, cut out cleanly."""

import dataclasses

import cv2
import numpy as np

from fastvit_dense.datasets.sample import photos
from fastvit_dense.datasets.sample.scenes import SAMPLE_CLASSES
from fastvit_dense.errors import DataError
from tests.facts import raises_naming


def test_every_photo_is_listed_with_its_licence(root_dir, sample_data):
    readme = (root_dir / 'data/README.md').read_text()
    used = {o.photo for o in photos.OUTLINES} | {t.photo for t in photos.TEXTURES}
    assert used == {photo.name for photo in photos.PHOTOS}
    assert photos.photo_sources() in readme
    assert photos.photo_sources() in (sample_data / 'coco/SOURCES.md').read_text()


def test_other_photo_of_that_name_is_refused(monkeypatch):
    first = photos.PHOTOS[0]
    changed = dataclasses.replace(first, sha256='0' * 64)
    monkeypatch.setattr(photos, 'PHOTOS', (changed,))
    photos.read_photo.cache_clear()
    with raises_naming(DataError, 'astronaut.png', '0' * 64, first.sha256):
        photos.read_photo('astronaut.png')


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(photos.importlib.util, 'find_spec', lambda name: None)
    photos.read_photo.cache_clear()
    with raises_naming(DataError, 'pip install scikit-image'):
        photos.read_photo('coins.png')


def test_cutouts_hold_only_the_object():
    cutouts = photos.read_cutouts()
    assert {c.category for c in cutouts} == set(SAMPLE_CLASSES)
    for cutout in cutouts:
        alpha = cutout.pixels[..., 3]
        assert set(np.unique(alpha)) <= {0.0, 1.0}
        assert not cutout.pixels[alpha == 0].any()
        # the outline touches all four sides of its box, and is one piece
        assert all(edge.any() for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]))
        assert cv2.connectedComponents(alpha.astype(np.uint8))[0] == 2
