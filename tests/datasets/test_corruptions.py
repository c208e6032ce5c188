"""Corrupted pictures are the library's own, by seeds that name picture, corruption and strength."""

import sys

import imagecorruptions
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from fastvit_dense.datasets.corruptions import (
    CORRUPTIONS,
    FAMILIES,
    OWN_GENERATOR,
    CorruptedPipeline,
    Setting,
    chosen_corruptions,
    corrupt,
    corrupted_pipelines,
    load_library,
    seed_of,
)
from fastvit_dense.errors import ConfigError, DataError
from tests.facts import raises_naming


@pytest.fixture
def picture(photo, tmp_path):
    path = tmp_path / 'one.png'
    Image.fromarray(photo).save(path)
    return path


def by_hand(image, corruption, strength, seed):
    """As the library's own README calls it."""
    np.random.seed(seed)
    options = {'seed': seed} if corruption in ('glass_blur', 'impulse_noise') else {}
    return imagecorruptions.corrupt(image, corruption_name=corruption, severity=strength, **options)


def pipeline_of(setting):
    pipeline = CorruptedPipeline([LoadImageFromFile()])
    pipeline.setting = setting
    return pipeline


def test_names_are_the_librarys():
    assert list(CORRUPTIONS) == imagecorruptions.get_corruption_names('common')
    for family, names in FAMILIES.items():
        assert list(names) == imagecorruptions.get_corruption_names(family)


def test_choice_by_family_and_name():
    assert chosen_corruptions('all') == CORRUPTIONS
    assert chosen_corruptions('fog,noise, fog') == (*FAMILIES['noise'], 'fog')
    with raises_naming(ConfigError, '--corruptions', "'gausian_noise'", "mean 'gaussian_noise'"):
        chosen_corruptions('blur,gausian_noise')


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_pipeline_gives_what_the_library_gives_by_hand(picture, photo, corruption):
    setting = Setting(corruption, 3)
    found = pipeline_of(setting)({'img_path': str(picture)})['img'][..., ::-1]
    expected = by_hand(photo, corruption, 3, seed_of('one.png', setting))
    np.testing.assert_array_equal(found, expected)
    assert (found != photo).mean() > 0.02


@pytest.mark.parametrize('corruption', ['gaussian_noise', *OWN_GENERATOR])
def test_noise_differs_by_picture_and_strength_alone(photo, corruption):
    first = corrupt(photo, Setting(corruption, 2), seed_of('a.jpg', Setting(corruption, 2)))
    np.random.seed(1)  # whatever was drawn before
    state = np.random.get_state()[1].copy()
    again = corrupt(photo, Setting(corruption, 2), seed_of('a.jpg', Setting(corruption, 2)))
    other = corrupt(photo, Setting(corruption, 2), seed_of('b.jpg', Setting(corruption, 2)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.02
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    seeds = {seed_of(name, Setting(corruption, s)) for name in ('a', 'b') for s in (1, 2, 3)}
    assert len(seeds) == 6


def test_every_dataset_inside_wrappers_is_corrupted(picture):
    from mmengine.dataset import BaseDataset, ConcatDataset

    class One(BaseDataset):
        def load_data_list(self):
            return [{'img_path': str(picture)}]

    parts = [One(pipeline=[LoadImageFromFile()], serialize_data=False) for _ in range(2)]
    dataset = ConcatDataset(parts)
    clean = dataset[1]['img'].copy()
    for pipeline in corrupted_pipelines(dataset):
        pipeline.setting = Setting('contrast', 5)
    for index in (0, 1):
        spread = dataset[index]['img'].std(axis=(0, 1))
        assert (spread < clean.std(axis=(0, 1)) / 10).all()


def test_small_pictures_are_named(tmp_path):
    Image.new('RGB', (31, 60)).save(tmp_path / 'small.png')
    with raises_naming(DataError, 'small.png', 'at least 32 x 32', '31 x 60'):
        pipeline_of(Setting('fog', 1))({'img_path': str(tmp_path / 'small.png')})


def test_missing_library_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, 'imagecorruptions', None)
    with raises_naming(
        ConfigError, '--corruptions', 'pip install --no-deps imagecorruptions-imaug'
    ):
        load_library()
