from functools import partial

import pytest

from fastvit_dense.cli import run_command
from fastvit_dense.datasets.sample import hands as hand_sample
from fastvit_dense.datasets.sample import scene_files as sample


@pytest.fixture
def main(monkeypatch):
    """Runs the command with few pictures; gives its exit status."""
    monkeypatch.setattr(sample, 'SPLITS', {'train': 2, 'val': 1})

    def run(arguments):
        with pytest.raises(SystemExit) as end:
            run_command('sample-data', 'fastvit-dense sample-data', arguments)
        return end.value.code or 0

    return run


@pytest.mark.parametrize(
    ('tasks', 'trees'),
    [(['instance'], ['coco']), (['semantic', 'instance'], ['ade20k', 'coco'])],
)
def test_makes_the_tasks_asked_for(main, tmp_path, tasks, trees, capsys):
    assert main([str(tmp_path), '--tasks', *tasks]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == trees
    assert str(tmp_path) in capsys.readouterr().out


def test_unknown_task_is_refused(main, tmp_path, capsys):
    assert main([str(tmp_path), '--tasks', 'sound']) == 1
    assert "'sound'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_force_makes_every_task_again(main, tmp_path, monkeypatch):
    few = partial(hand_sample.make_sample_hands, train=2, evaluation=1, workers=0)
    monkeypatch.setattr(hand_sample, 'make_sample_hands', few)
    files = [tmp_path / tree / 'SOURCES.md' for tree in ('coco', 'ade20k', 'freihand')]
    for arguments, kept in (([], None), ([], True), (['--force'], False)):
        assert main([str(tmp_path), *arguments]) == 0
        if kept is not None:
            assert [path.read_text() == 'old' for path in files] == [kept] * 3
        for path in files:
            path.write_text('old')
