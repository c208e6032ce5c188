"""Folders that killed runs leave behind."""

import multiprocessing
import os
import signal

import pytest

from fastvit_dense.datasets.sample import scene_files as sample
from fastvit_dense.datasets.sample.workspace import remove_stale, workspace


def killed_on_the_way(root):
    """Make sample data up to the list of photographs, the last file but one."""
    sample.photo_sources = lambda: os.kill(os.getpid(), signal.SIGKILL)
    sample.make_sample_data(root)


def test_gone_in_the_end(tmp_path):
    root = tmp_path / 'new'
    with workspace(root) as folder:
        (folder / 'file').write_text('x')
        assert list(root.iterdir()) == [folder]
    assert not list(root.iterdir())

    def interrupted():
        with workspace(root):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(root.iterdir())


@pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
def test_what_a_killed_run_left_goes_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, 'SPLITS', {'train': 1, 'val': 1})
    process = multiprocessing.get_context('fork').Process(
        target=killed_on_the_way, args=(tmp_path,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (stale,) = tmp_path.iterdir()
    assert stale.name.startswith('.making-')
    assert (stale / 'coco/annotations').is_dir()
    sample.make_sample_data(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ade20k', 'coco']


def test_even_where_nothing_is_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, 'SPLITS', {'train': 1, 'val': 1})
    sample.make_sample_data(tmp_path)
    with workspace(tmp_path) as running:
        machine = running.name.split('-')[1]
        kept = [running, tmp_path / 'ade20k', tmp_path / 'coco']
        kept += [tmp_path / f'.making-elsewhere-{2**22 + 1}-abcd', tmp_path / '.making-mine']
        kept += [tmp_path / f'.making-{machine}-{10**30}-abcd']
        for folder in [*kept[3:], tmp_path / f'.making-{machine}-{2**22 + 1}-abcd']:
            folder.mkdir()  # Linux counts processes up to 2**22
        sample.make_sample_data(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_no_folder_yet(tmp_path):
    remove_stale(tmp_path / 'none')
