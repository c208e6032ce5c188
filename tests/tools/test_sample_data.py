import runpy
from functools import partial
from pathlib import Path

import pytest

from fastvit_dense.datasets.sample import hands as hand_sample
from fastvit_dense.datasets.sample import scene_files as sample

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'sample_data.py'


@pytest.fixture
def main(monkeypatch):
    monkeypatch.setattr(sample, 'SPLITS', {'train': 2, 'val': 1})
    monkeypatch.syspath_prepend(str(TOOL.parent))
    return runpy.run_path(str(TOOL))['main']


@pytest.mark.parametrize(
    ('tasks', 'trees'),
    [(['instance'], ['coco']), (['semantic', 'instance'], ['ade20k', 'coco'])],
)
def test_makes_the_tasks_asked_for(main, tmp_path, tasks, trees, capsys):
    main([str(tmp_path), '--tasks', *tasks])
    assert sorted(path.name for path in tmp_path.iterdir()) == trees
    assert str(tmp_path) in capsys.readouterr().out


def test_unknown_task_is_refused(main, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), '--tasks', 'sound'])
    assert "'sound'" in capsys.readouterr().err


def test_force_makes_every_task_again(main, tmp_path, monkeypatch):
    few = partial(hand_sample.make_sample_hands, train=2, evaluation=1, workers=0)
    monkeypatch.setattr(hand_sample, 'make_sample_hands', few)
    files = [tmp_path / tree / 'SOURCES.md' for tree in ('coco', 'ade20k', 'freihand')]
    for arguments, kept in (([], None), ([], True), (['--force'], False)):
        main([str(tmp_path), *arguments])
        if kept is not None:
            assert [path.read_text() == 'old' for path in files] == [kept] * 3
        for path in files:
            path.write_text('old')
