"""`per_image.npz`: what is written is read; broken, foreign and stale files."""

import io
import zipfile

import numpy as np
import pytest

from fastvit_dense.errors import DataError
from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.statistics import Means, image_names
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
