"""Files that are whole or not there, on disks that are full, closed or gone."""

import os
import resource
import shutil
import signal

import pytest
import torch

from fastvit_dense.checkpoints.writing import remove_leftovers, save_whole, write_whole
from fastvit_dense.errors import NotWrittenError
from tests.disk import change_disk, in_a_process, small_disk
from tests.facts import raises_naming

FORMER, NEW = b'former', bytes(range(256)) * 800


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(FORMER)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_a_checkpoint(path):
    write_whole(NEW, path)
    assert path.read_bytes() == NEW
    save_whole({'a': torch.arange(5)}, path)
    assert torch.equal(torch.load(path)['a'], torch.arange(5))
    assert names(path.parent) == ['epoch_1.pth']


def test_it_is_on_the_disk_before_it_has_its_name(path, monkeypatch):
    calls = []
    for name in ('fsync', 'replace'):
        call = getattr(os, name)

        def noted(*arguments, name=name, call=call):
            calls.append((name, path.read_bytes() == NEW))
            return call(*arguments)

        monkeypatch.setattr(os, name, noted)
    write_whole(NEW, path)
    assert calls == [('fsync', False), ('replace', False), ('fsync', True)]


def test_killed_in_the_middle(path):
    """By a signal that the kernel sends at byte 100,000."""

    def write():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        write_whole(NEW, path)

    assert in_a_process(write) == -signal.SIGXFSZ
    assert path.read_bytes() == FORMER
    (part,) = (p for p in path.parent.iterdir() if p != path)
    assert part.read_bytes() == NEW[:100_000]
    others = ('.hidden.pth', '.lock', '.12.json', 'iter_2.pth')
    for name in others:
        path.with_name(name).touch()
    assert remove_leftovers(path.parent) == [part.name]
    assert names(path.parent) == sorted((*others, 'epoch_1.pth'))


def test_leftovers_of_every_file(tmp_path):
    for name in ('.1.epoch_1.pth', '.22.last_checkpoint', '.3.non_finite_iter_1.pt'):
        (tmp_path / name).touch()
    assert len(remove_leftovers(tmp_path)) == 3
    assert not names(tmp_path)


def test_full_disk(tmp_path):
    with small_disk(tmp_path / 'disk', '128k') as disk:
        path = disk / 'epoch_1.pth'
        path.write_bytes(FORMER)
        free = f'{shutil.disk_usage(disk).free:,}'
        with raises_naming(
            NotWrittenError, path, 'No space left', f'{len(NEW):,} bytes', f'{free} are free'
        ):
            write_whole(NEW, path)
        assert path.read_bytes() == FORMER
        assert names(disk) == ['epoch_1.pth']


def test_quota(path):
    """A limit of the process stands for one of the user."""

    def write():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with raises_naming(NotWrittenError, path, 'File too large', f'{len(NEW):,} bytes'):
            write_whole(NEW, path)

    assert in_a_process(write) == 0
    assert path.read_bytes() == FORMER
    assert names(path.parent) == ['epoch_1.pth']


def test_closed_disk(tmp_path):
    with small_disk(tmp_path / 'disk', '1m') as disk:
        path = disk / 'epoch_1.pth'
        path.write_bytes(FORMER)
        change_disk(disk, 'ro')
        with raises_naming(NotWrittenError, path, 'Read-only file system', f'{len(NEW):,} bytes'):
            write_whole(NEW, path)
        assert path.read_bytes() == FORMER


def test_folder_that_is_gone(path):
    """It is not made anew: what stood beside the file is gone, too."""
    shutil.rmtree(path.parent)
    with raises_naming(NotWrittenError, path, 'no folder', path.parent):
        write_whole(NEW, path)
    assert not path.parent.exists()
