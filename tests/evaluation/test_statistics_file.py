"""`per_image.npz`: what is written is read; broken, foreign and stale files."""

import io
import zipfile

import numpy as np
import pytest

from fastvit_dense.errors import DataError
from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.coco_matches import Matches
from fastvit_dense.evaluation.statistics import Detections, Means, image_names
from fastvit_dense.evaluation.statistics_file import STATISTICS_FILE, pack, read_statistics
from tests.facts import raises_naming

STATISTICS = Means(np.array(['a', 'b', 'c']), np.array(['PA-MPJPE']), np.array([[1.0], [2], [6]]))


def test_what_is_written_is_read(tmp_path):
    (tmp_path / STATISTICS_FILE).write_bytes(pack(STATISTICS))
    for place in (tmp_path, tmp_path / 'report.json'):
        found = read_statistics(place, {'PA-MPJPE': 3.0, 'another': None})
        assert uncertainty(found) == uncertainty(STATISTICS)


def test_a_missing_file_and_that_of_another_evaluation_give_nothing(tmp_path):
    assert read_statistics(tmp_path, {}) is None
    (tmp_path / STATISTICS_FILE).write_bytes(pack(STATISTICS))
    assert read_statistics(tmp_path, {'PA-MPJPE': 3.1}) is None


def other_file(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'no archive',
        pack(STATISTICS)[:-30],
        other_file(kind=np.array('means')),
        other_file(kind=np.array('unknown')),
        other_file(kind=np.array('means'), ids=np.array([{}], dtype=object)),
        other_file(**{'kind': np.array('means'), 'ids': np.arange(3)}, names=1, values=2),
    ],
)
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / STATISTICS_FILE
    path.write_bytes(content)
    with raises_naming(DataError, path, 'whole file'):
        read_statistics(tmp_path, {})


def detections():
    pairs = Matches(
        images=np.array([0, 1]),
        categories=np.array([0, 1]),
        starts=np.array([0, 2, 3]),
        objects=np.array([2, 1]),
        scores=np.array([0.9, 0.8, 0.7]),
        matched=np.array([[True, False, True]]),
        ignored=np.zeros((1, 3), bool),
    )
    return Detections(np.array(['a', 'b']), {'bbox': pairs}, np.array([0.5]), 2)


@pytest.mark.parametrize('made', [STATISTICS, detections()], ids=['means', 'detections'])
def test_a_damaged_file_is_named_or_read(tmp_path, made):
    """Bytes of the archive, and of the arrays in it, changed at random."""
    random = np.random.default_rng(0)
    path, told = tmp_path / STATISTICS_FILE, 0
    kind = 'detections' if isinstance(made, Detections) else 'means'
    stored = other_file(kind=np.array(kind), **made.arrays())
    for content in (pack(made), stored):
        for _ in range(60):
            damaged = bytearray(content)
            for place in random.integers(len(content), size=random.integers(1, 6)):
                damaged[place] = random.integers(256)
            path.write_bytes(damaged)
            try:
                read_statistics(tmp_path, {})
            except DataError as error:
                told += str(path) in str(error)
    assert told > 60


def test_absurd_counts_take_no_memory(tmp_path):
    path = tmp_path / STATISTICS_FILE
    for name, value, message in (
        ('categories', np.array(10**12), 'at most 100,000 categories'),
        ('bbox.starts', np.array([0, 2, 10**9]), 'starts: expected'),
    ):
        arrays = detections().arrays() | {name: value}
        path.write_bytes(other_file(kind=np.array('detections'), **arrays))
        with raises_naming(DataError, path, 'expected a whole file', 'found', message):
            read_statistics(tmp_path, {})


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path):
    path = tmp_path / STATISTICS_FILE
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part in range(3):
            with archive.open(f'{part}.npy', 'w') as file:
                for _ in range(1 << 6):
                    file.write(bytes(1 << 24))
    with raises_naming(DataError, path, 'at most', 'bytes'):
        read_statistics(tmp_path, {})


def test_names_of_images_tell_of_no_machine():
    assert image_names(['/home/me/val/x/1.jpg', '/home/me/val/y/1.jpg']).tolist() == [
        'x/1.jpg',
        'y/1.jpg',
    ]
    assert image_names([7, 3]).tolist() == ['7', '3']
    assert image_names([None, None]).tolist() == ['0', '1']
    assert image_names([]).tolist() == []
