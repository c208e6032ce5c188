"""Curves of trainings from their logs."""

import json

import pytest

from benchmarks.curves import curve_figure, curve_table, read_curves
from benchmarks.machine import BenchmarkError
from tests.facts import raises_naming


def write_log(folder, *lines):
    folder = folder / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))


def step(number, loss, seconds=2.0):
    epoch = (number - 1) // 4 + 1
    return {'loss': loss, 'time': seconds, 'epoch': epoch, 'iter': number, 'step': number}


@pytest.fixture
def resumed(tmp_path):
    """Two passes of four steps; killed in the second, whose steps were done again."""
    write_log(tmp_path / 't8/20260101_000000', step(4, 3.0), {'mIoU': 10.0, 'step': 1}, step(6, 9))
    write_log(tmp_path / 't8/20260101_010000', step(6, 2.5, 3), step(8, 2), {'mIoU': 20, 'step': 2})
    return tmp_path / 't8'


def test_a_resumed_training_is_one_curve(resumed):
    (found,) = read_curves([f'ours={resumed}'], 'mIoU')['trainings']
    assert found == {
        'name': 'ours',
        'steps': 8,
        'step_seconds': 2.0,
        'losses': [[1, 3.0], [1.5, 2.5], [2, 2]],
        'scores': [[1, 10.0], [2, 20]],
    }


@pytest.mark.integration
def test_a_training_of_ours(trained):
    """The log that `train` writes: a pass of three steps, and the score after it."""
    (found,) = read_curves([str(trained.parent)], 'bbox_mAP')['trainings']
    assert found['steps'] == 3
    assert [when for when, _ in found['losses']] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [when for when, _ in found['scores']] == [1]


def test_table_and_picture(resumed, tmp_path):
    write_log(tmp_path / 'other/1', step(4, 1.0, 5.26), {'mIoU': 7.04, 'step': 1})
    results = read_curves([f'ours={resumed}', str(tmp_path / 'other')], 'mIoU')
    assert curve_table(results).splitlines() == [
        '| training | steps | s a step | mIoU after 1 | mIoU after 2 |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| ours | 8 | 2.0 | 10.0 | 20.0 |',
        '| other | 4 | 5.3 | 7.0 |  |',
    ]
    losses, scores = curve_figure(results).axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[3.0, 2.5, 2], [1.0]]
    assert [list(line.get_xdata()) for line in scores.lines] == [[1, 2], [1]]


def test_what_is_no_training(resumed, tmp_path):
    with raises_naming(BenchmarkError, tmp_path / 'none', 'loss'):
        read_curves([f'a={tmp_path / "none"}'], 'mIoU')
    with raises_naming(BenchmarkError, resumed, 'bbox_mAP'):
        read_curves([f'a={resumed}'], 'bbox_mAP')
    by_steps = [{'loss': 1.0, 'time': 1.0, 'iter': 4, 'step': 4}, {'mIoU': 1.0, 'step': 4}]
    write_log(tmp_path / 'steps/1', *by_steps)
    with raises_naming(BenchmarkError, tmp_path / 'steps', 'passes'):
        read_curves([str(tmp_path / 'steps')], 'mIoU')
