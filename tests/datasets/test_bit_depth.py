"""Pictures of more than 8 bits, from every entrance, against the 8-bit picture they are made of."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from fastvit_dense.datasets.bit_depth import (
    look_at_depth,
    set_image_bits,
    significant_bits,
    to_bytes,
)
from fastvit_dense.datasets.loading import read_image, use_checked_loading
from fastvit_dense.errors import ConfigError, DataError

# 255 occurs, so that the highest value tells the bits
SCENE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
SCENE[0, 0] = 255
TOLD = pytest.mark.filterwarnings('ignore:.*values up to')


def deep(bits):
    return SCENE.astype(np.uint16) << (bits - 8)


@pytest.mark.parametrize(('highest', 'bits'), [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12)])
def test_significant_bits(highest, bits):
    assert significant_bits(highest) == bits
    assert significant_bits(16383) == 14
    assert significant_bits(65535) == 16


@TOLD
@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('bits', [10, 12, 14, 16])
def test_files_of_each_depth(bits, suffix, tmp_path):
    path = str(tmp_path / f'picture.{suffix}')
    cv2.imwrite(path, deep(bits)[..., ::-1])
    assert (read_image(path) == SCENE[..., ::-1]).all()
    cv2.imwrite(path, deep(bits)[..., 0])
    assert (read_image(path) == SCENE[..., :1]).all()
    assert (read_image(path, bits=16) == SCENE[..., :1] >> (16 - bits)).all()


def test_a_lone_picture_is_told(tmp_path):
    path = str(tmp_path / 'picture.png')
    cv2.imwrite(path, deep(12))
    with pytest.warns(UserWarning, match='picture.png: values up to 4080: read as 12 bits, 4095 '):
        read_image(path)


def test_a_value_above_the_scale_is_an_error(tmp_path):
    path = str(tmp_path / 'picture.png')
    cv2.imwrite(path, deep(14))
    with pytest.raises(DataError, match=r'up to 4095 .*found 16320; .*image_bits=14'):
        read_image(path, bits=12)


@pytest.mark.parametrize(
    'values', [[0.0, 0.5], [0.0, 1.0], [-1, 5], [0, 65536], [float('nan'), 3.0]]
)
def test_numbers_without_a_scale_are_refused(values):
    with pytest.raises(DataError, match='here: expected whole numbers of 0 to 65535'):
        to_bytes(np.array(values), None, 'here')


@TOLD
def test_whole_floats_are_numbers_of_bits():
    assert to_bytes(np.array([0.0, 4095.0]), None, 'here').tolist() == [0, 255]


@pytest.fixture
def sets(tmp_path):
    """Training pictures of 10 bits and of 8, validation pictures of 12."""
    for folder, bits in (('train', 10), ('val', 12)):
        (tmp_path / folder).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / folder / f'{number}.png'), deep(bits))
    cv2.imwrite(str(tmp_path / 'train/8.png'), SCENE)
    loader = {
        'type': 'BaseSegDataset',
        'data_root': str(tmp_path),
        'metainfo': {'classes': ('a', 'b')},
        'pipeline': [{'type': 'LoadImageFromFile'}],
    }
    return Config(
        {
            'default_scope': 'mmseg',
            **{
                f'{name}_dataloader': {'dataset': loader | {'data_prefix': {'img_path': folder}}}
                for name, folder in (('train', 'train'), ('val', 'val'), ('test', 'val'))
            },
        }
    )


def test_all_data_of_a_run_has_one_scale(sets, tmp_path):
    set_image_bits(sets)
    assert sets.image_bits == 12
    told = look_at_depth(sorted(tmp_path.rglob('*.png'))).message(None)
    assert told.startswith('6 of 7 pictures have more than 8 bits a channel, values up to 4080')
    use_checked_loading(sets)
    steps = [sets[f'{name}_dataloader'].dataset.pipeline[0] for name in ('train', 'val', 'test')]
    assert [step['bits'] for step in steps] == [12, 12, 12]
    found = read_image(str(tmp_path / 'train/0.png'), bits=12)
    assert (found == SCENE >> 2).all()


def test_pictures_that_only_a_file_names_have_one_scale(sets, tmp_path):
    """As `--data` sets them: no folder of their own, and others lie beside them."""
    cv2.imwrite(str(tmp_path / 'val/of nobody.png'), deep(16))
    for loader, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        images = [{'file_name': f'{split}/{number}.png'} for number in range(3)]
        (tmp_path / f'{split}.json').write_text(json.dumps({'images': images}))
        dataset = sets[f'{loader}_dataloader'].dataset
        dataset.update(type='mmdet.CocoDataset', ann_file=str(tmp_path / f'{split}.json'))
        dataset.data_prefix = {'img': ''}
    set_image_bits(sets)
    assert sets.image_bits == 12


def test_what_the_config_states_holds(sets):
    sets.image_bits = 16
    set_image_bits(sets)
    assert sets.image_bits == 16
    sets.image_bits = 11
    with pytest.raises(ConfigError, match=r'image_bits: expected one of .*, found 11'):
        set_image_bits(sets)


def test_pictures_of_8_bits_set_nothing(sets, tmp_path):
    for path in tmp_path.rglob('*.png'):
        cv2.imwrite(str(path), SCENE)
    set_image_bits(sets)
    assert sets.get('image_bits') is None
    assert look_at_depth(list(tmp_path.rglob('*.png'))).deep == 0


@TOLD
def test_pillow_images_hold_the_same(tmp_path):
    from fastvit_dense.datasets.decoding import picture_array

    path = tmp_path / 'picture.png'
    grey = deep(12)[..., 0]
    images = {
        'I;16': Image.fromarray(grey),
        'I': Image.fromarray(grey.astype(np.int32)),
        'F': Image.fromarray(grey.astype(np.float32)),
    }
    for mode, image in images.items():
        assert image.mode == mode
        assert (to_bytes(picture_array(image), None, mode) == SCENE[..., :1]).all()
    cv2.imwrite(str(path), deep(12)[..., ::-1])
    with Image.open(path) as image:  # whose 16 bits Pillow would cut to 8
        assert (to_bytes(picture_array(image), None, '') == SCENE).all()


def test_floats_without_a_scale_set_none(tmp_path):
    for number, scale in enumerate((1 / 255, 1 / 2)):
        path = tmp_path / f'{number}.tif'
        Image.fromarray(SCENE[..., 0].astype(np.float32) * scale).save(path)
    assert look_at_depth(sorted(tmp_path.glob('*.tif'))).deep == 0
    Image.fromarray(SCENE[..., 0].astype(np.float32) * 4).save(path)
    look = look_at_depth(sorted(tmp_path.glob('*.tif')))
    assert (look.deep, look.highest, look.bits) == (1, 1020, 10)


@pytest.mark.parametrize('most', [1, None])
def test_a_wrong_suffix_hides_no_depth(most, tmp_path):
    Image.fromarray(SCENE).save(tmp_path / '0.png')
    for name, bits in (('1.jpg', 12), ('2.jpg', 8)):
        (tmp_path / name).write_bytes(cv2.imencode('.png', deep(bits).astype(np.uint16))[1])
    look = look_at_depth(sorted(tmp_path.iterdir())[1:], most)
    assert (look.deep, look.bits) == (1 if most else 2, 12)
