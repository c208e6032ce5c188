"""Folders of label maps: names, leftovers of an earlier run, other people's files."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.evaluation import PredictionError
from fastvit_dense.evaluation.saved_label_maps import (
    find_label_maps,
    label_map_names,
    place_label_maps,
    record_file,
    stage_label_map,
    staging_folder,
    unknown_label_maps,
)
from tests.facts import raises_naming


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'maps').mkdir()
    return tmp_path / 'maps'


def write(folder, images):
    """A whole run; the label of each picture is its place in the list."""
    for label, image in enumerate(images):
        stage_label_map(folder, image, np.full((2, 3), label))
    place_label_maps(folder, images)


def listed(folder):
    return sorted(str(f.relative_to(folder)) for f in folder.rglob('*') if f.is_file())


def labels(file):
    return int(np.asarray(Image.open(file))[0, 0])


@pytest.mark.parametrize(
    ('images', 'top', 'names'),
    [
        (['d/a.jpg', 'd/b.jpg'], None, ['a.png', 'b.png']),
        (['d/a/1.jpg', 'd/b/1.jpg'], None, ['a/1.png', 'b/1.png']),
        (['d/a/1.jpg', 'd/1.jpg'], None, ['a/1.png', '1.png']),
        (['d/a/1.jpg', 'd/a/2.v2.jpg'], 'd', ['a/1.png', 'a/2.v2.png']),
        (['d/x.jpg'], None, ['x.png']),
        (['../d/a/../b/1.jpg', '../../e/1.jpg'], None, None),
    ],
)
def test_names_keep_the_path_below_the_folder(images, top, names):
    found = label_map_names(images, top)
    assert list(found) == images
    if names:
        assert list(found.values()) == names
    assert not any('..' in name.split('/') for name in found.values())
    assert len(set(found.values())) == len(images)


def test_pictures_that_differ_in_their_endings_alone():
    with raises_naming(PredictionError, 'd/1.tif', 'd/1.jpg', '1.png'):
        label_map_names(['d/1.jpg', 'd/1.tif'])


def test_equal_names_in_several_folders_stay_apart(folder):
    images = [f'data/{folder}/1.jpg' for folder in 'abc']
    write(folder, images)
    assert listed(folder) == ['a/1.png', 'b/1.png', 'c/1.png']
    files = find_label_maps(folder, images, 'data')
    assert [labels(files[image]) for image in images] == [0, 1, 2]


@pytest.mark.parametrize(
    'names', [['x/a/1.png', 'x/b/2.png'], ['a/1.png', 'b/2.png'], ['1.png', '2.png']]
)
def test_other_layouts_are_found(folder, names):
    """Below the image folder, below the deepest common one, side by side as mmseg writes them."""
    images = ['data/x/a/1.jpg', 'data/x/b/2.jpg']
    for label, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (3, 2), label).save(folder / name)
    files = find_label_maps(folder, images, 'data')
    assert [labels(files[image]) for image in images] == [0, 1]
    missing = find_label_maps(folder / 'none', images, 'data')
    assert missing[images[0]] == folder / 'none/x/a/1.png'


def test_a_run_takes_the_former_ones_files_away_and_no_others(folder):
    mine = ['mine.png', 'notes.txt', 'kept/old1.png']
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('mine')
    write(folder, ['d/old1.jpg', 'd/old2.jpg', 'd/both.jpg'])
    (folder / 'old2.png').write_text('changed by hand')
    write(folder, ['d/both.jpg', 'd/new.jpg'])
    assert listed(folder) == sorted([*mine, 'both.png', 'new.png', 'old2.png'])
    files = find_label_maps(folder, ['d/both.jpg', 'd/new.jpg'], 'd').values()
    assert [labels(file) for file in files] == [0, 1]
    extra, foreign = unknown_label_maps(folder, files)
    assert extra == []
    assert [file.name for file in foreign] == ['mine.png', 'old2.png']


def test_files_of_the_record_that_are_no_pictures_of_the_dataset(folder):
    """A folder written for other data is noticed, with a record and without."""
    write(folder, ['d/a.jpg', 'd/b.jpg'])
    for _ in range(2):
        extra, foreign = unknown_label_maps(folder, [folder / 'a.png'])
        assert ([file.name for file in extra], foreign) == (['b.png'], [])
        record_file(folder).unlink(missing_ok=True)


def test_an_interrupted_run_leaves_the_former_predictions(folder):
    write(folder, ['d/a.jpg', 'd/b.jpg'])
    stage_label_map(folder, 'd/a.jpg', np.full((2, 3), 9))
    stage_label_map(folder, 'd/c.jpg', np.full((2, 3), 9))
    files = find_label_maps(folder, ['d/a.jpg', 'd/b.jpg'], 'd')
    assert [labels(file) for file in files.values()] == [0, 1]
    assert unknown_label_maps(folder, files.values()) == ([], [])
    write(folder, ['d/c.jpg'])
    assert listed(folder) == ['c.png']
    assert labels(folder / 'c.png') == 0
    assert not staging_folder(folder).exists()


def test_a_picture_of_another_process_is_missing(folder):
    stage_label_map(folder, 'd/a.jpg', np.zeros((2, 3), int))
    with raises_naming(PredictionError, 'd/b.jpg', 'no label map', folder):
        place_label_maps(folder, ['d/a.jpg', 'd/b.jpg'])


@pytest.mark.parametrize('record', ['{"../mine.txt": STAMP}', '[1', '[]', '{"mine.txt": 3}'])
def test_a_forged_or_broken_record_takes_nothing_away(tmp_path, record):
    mine = tmp_path / 'mine.txt'
    mine.write_text('mine')
    state = mine.stat()
    folder = tmp_path / 'saved'
    folder.mkdir()
    os.link(mine, folder / 'mine.txt')
    stamp = json.dumps([state.st_size, state.st_mtime_ns])
    record_file(folder).write_text(record.replace('STAMP', stamp))
    write(folder, ['d/a.jpg'])
    assert listed(folder) == ['a.png', 'mine.txt']
    assert mine.is_file()


def test_no_picture(folder):
    place_label_maps(folder, [])
    assert listed(folder) == []
