"""A split by a seed: what is alike, and what follows in a video, stays on one side."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.datasets.alike import groups_of
from fastvit_dense.datasets.formats.records import Found, Object, Picture
from fastvit_dense.datasets.own_data import read_own_data
from fastvit_dense.datasets.splitting import complete_splits
from fastvit_dense.errors import DataError

from .formats import annotated


def scene(rng):
    """A picture of large patches, 48 x 64."""
    small = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BILINEAR)


def found_in(folder, labels=None):
    paths = sorted(p for p in folder.rglob('*') if p.is_file())
    pictures = [Picture(path, (48, 64)) for path in paths]
    for picture in pictures:
        label = (labels or {}).get(picture.path.name, 'a')
        picture.objects.append(Object(label, (0, 0, 5, 5)))
    return Found('x', folder, tuple(sorted({p.objects[0].label for p in pictures})), pictures)


def split_by_name(folder, seed=0, labels=None):
    found = found_in(folder, labels)
    complete_splits(found, seed)
    return {p.path.name: p.split for p in found.pictures}


@pytest.fixture
def stills(tmp_path):
    """40 pictures that have nothing in common, numbered."""
    rng = np.random.default_rng(0)
    for k in range(40):
        scene(rng).save(tmp_path / f'img_{k:03}.jpg', quality=95)
    return tmp_path


def test_a_fifth_by_seed(stills):
    splits = split_by_name(stills)
    assert Counter(splits.values()) == {'train': 32, 'val': 8}
    assert split_by_name(stills) == splits
    assert split_by_name(stills, seed=1) != splits


def test_more_pictures_leave_the_others_where_they_are(stills):
    before = split_by_name(stills)
    scene(np.random.default_rng(99)).save(stills / 'new.jpg')
    after = split_by_name(stills)
    assert sum(after[name] != split for name, split in before.items()) <= 2


def test_copies_stay_together(stills):
    """The same bytes, saved again smaller and worse, and brighter by a little."""
    for path in sorted(stills.iterdir())[:15]:
        with Image.open(path) as image:
            (stills / f'copy_of_{path.name}').write_bytes(path.read_bytes())
            image.resize((51, 38)).save(stills / f'small_{path.stem}.png')
            brighter = np.clip(np.asarray(image).astype(int) + 2, 0, 255).astype(np.uint8)
            Image.fromarray(brighter).save(stills / f'bright_{path.name}', quality=60)
    for seed in range(4):
        splits = split_by_name(stills, seed)
        assert Counter(splits.values())['val'] in range(12, 27)
        for path in sorted(stills.glob('copy_of_*')):
            name = path.name.removeprefix('copy_of_')
            same = {
                splits[n] for n in (name, path.name, f'small_{name[:-4]}.png', f'bright_{name}')
            }
            assert len(same) == 1


def test_different_pictures_are_not_taken_for_copies(stills):
    groups, videos = groups_of(sorted(stills.iterdir()))
    assert len(groups) == 40
    assert videos == []


@pytest.mark.parametrize('bits', [12, 16])
def test_nor_are_those_of_more_than_8_bits(stills, bits):
    """Pillow makes white of all above 255: all of them would be one picture."""
    for path in sorted(stills.iterdir()):
        grey = np.asarray(Image.open(path).convert('L')).astype(np.uint16) << (bits - 8)
        Image.fromarray(grey).save(path.with_suffix('.png'))
        path.unlink()
    (stills / 'copy.png').write_bytes((stills / 'img_001.png').read_bytes())
    Image.open(stills / 'img_002.png').save(stills / 'again.tif')
    groups, videos = groups_of(sorted(stills.iterdir()))
    assert sorted(map(len, groups)) == [1] * 38 + [2, 2]
    assert videos == []


def moving(folder, prefix, frames, rng):
    """A video: a window that moves over a wide picture."""
    small = rng.integers(0, 256, (6, 30, 3), np.uint8)
    wide = Image.fromarray(small).resize((240 + frames * 2, 48), Image.Resampling.BILINEAR)
    for k in range(frames):
        wide.crop((2 * k, 0, 2 * k + 64, 48)).save(folder / f'{prefix}{k:04}.png')


def test_videos_stay_together(tmp_path):
    rng = np.random.default_rng(0)
    for clip in range(10):
        moving(tmp_path, f'take{clip}_', 12, rng)
    splits = split_by_name(tmp_path)
    for clip in range(10):
        assert len({s for name, s in splits.items() if name.startswith(f'take{clip}_')}) == 1
    assert Counter(splits.values()) == {'train': 96, 'val': 24}


def test_one_long_video_is_cut_once(tmp_path):
    moving(tmp_path, 'frame_', 60, np.random.default_rng(0))
    splits = split_by_name(tmp_path)
    in_order = [splits[name] for name in sorted(splits)]
    assert sum(a != b for a, b in pairwise(in_order)) == 1
    assert Counter(in_order)['val'] in range(6, 20)


def test_a_rare_class_reaches_the_validation_and_stays_in_training(stills):
    labels = {'img_003.jpg': 'rare', 'img_017.jpg': 'rare', 'img_020.jpg': 'single'}
    for seed in range(5):
        splits = split_by_name(stills, seed, labels)
        assert {splits['img_003.jpg'], splits['img_017.jpg']} == {'train', 'val'}
        assert splits['img_020.jpg'] == 'train'


def test_one_camera_before_one_wall(tmp_path):
    """Where nearly all look alike, copies alone are kept together."""
    rng = np.random.default_rng(0)
    wall = np.asarray(scene(rng)).astype(int)
    for k in range(20):
        picture = wall.copy()
        picture[10 + k : 14 + k, 20:24] = rng.integers(0, 255, 3)  # a small part
        Image.fromarray(picture.astype(np.uint8)).save(
            tmp_path / f'{"abcdefghijklmnopqrst"[k]}.png'
        )
    (tmp_path / 'copy.png').write_bytes((tmp_path / 'a.png').read_bytes())
    found = found_in(tmp_path)
    complete_splits(found)
    splits = {p.path.name: p.split for p in found.pictures}
    assert Counter(splits.values())['val'] in (3, 4, 5)
    assert splits['a.png'] == splits['copy.png']
    assert any('look alike' in note for note in found.notes)


def test_what_cannot_be_split_is_told(tmp_path):
    scene(np.random.default_rng(0)).save(tmp_path / 'a.png')
    with pytest.raises(DataError, match='found 1'):
        split_by_name(tmp_path)
    found = found_in(tmp_path)
    found.pictures[0].split = 'val'
    with pytest.raises(DataError, match='expected pictures for training'):
        complete_splits(found)


def only_on(folder, *names):
    """Objects in these pictures alone."""
    found = found_in(folder)
    for picture in found.pictures:
        picture.objects = picture.objects if picture.path.name in names else []
    return found


def test_there_are_objects_to_train_on_and_to_validate_with(stills):
    for seed in range(4):
        found = only_on(stills, 'img_003.jpg', 'img_017.jpg')
        complete_splits(found, seed)
        assert {p.split for p in found.pictures if p.objects} == {'train', 'val'}
    with pytest.raises(DataError, match=r'objects to validate with.* 1 other pictures have some'):
        complete_splits(only_on(stills, 'img_003.jpg'))
    found = only_on(stills, 'img_003.jpg', 'img_017.jpg')
    for picture in found.pictures:
        picture.split = 'train' if picture.objects else 'val'
    with pytest.raises(DataError, match=r'objects to validate with, found none in 38 pictures'):
        complete_splits(found)


def test_a_folder_to_test_with_needs_no_training(tmp_path):
    scene(np.random.default_rng(0)).save(tmp_path / 'a.png')
    found = found_in(tmp_path)
    found.pictures[0].split = 'test'
    complete_splits(found, testing=True)
    assert [p.split for p in found.pictures] == ['test']


def test_labels_that_are_not_found_are_told_where_objects_are_missing(tmp_path):
    annotated.yolo(tmp_path)
    (tmp_path / 'train/labels').rename(tmp_path / 'train/annotations')
    with pytest.raises(DataError, match=r'objects to train on.* 3 pictures without a label file'):
        read_own_data(tmp_path)
