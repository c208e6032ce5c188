"""Curves of a training, as mmengine's visualizer wrote them."""

import json

import numpy as np

from fastvit_dense.evaluation.report.training_log import POINTS, training_curves


def write(folder, lines):
    path = folder / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(line) for line in lines) + '\n')


def step(number, **more):
    return {'lr': 0.1 / number, 'loss': 5.0 / number, 'step': number, **more}


def test_a_resumed_run_is_put_together(tmp_path):
    first = [step(n, epoch=1) for n in (1, 2, 3, 4)] + [{'coco/bbox_mAP': 0.1, 'step': 1}]
    second = [step(n, epoch=2) for n in (3, 4, 5)] + [{'coco/bbox_mAP': 0.2, 'step': 2}]
    write(tmp_path / '20260101_000000', [step(n, loss=9.0) for n in (1, 2)])  # a run before
    write(tmp_path / '20260102_000000', first)
    write(tmp_path / '20260103_000000', second)
    write(tmp_path / '20260104_000000', [{'bbox_mAP': 0.3, 'step': 2}])  # a test
    found = training_curves(tmp_path, ['bbox_mAP', 'PA-MPJPE'])
    assert found['training_loss'] == {'step': [1, 2, 3, 4, 5], 'loss': [5, 2.5, 5 / 3, 1.25, 1]}
    assert found['learning_rate']['lr'] == [0.1 / n for n in (1, 2, 3, 4, 5)]
    assert found['validation'] == {'epoch': [1, 2], 'bbox_mAP': [0.1, 0.2]}


def test_long_curves_are_means_of_steps(tmp_path):
    write(tmp_path / '20260101_000000', [step(n, loss=float(n)) for n in range(1, 901)])
    curve = training_curves(tmp_path, [])['training_loss']
    assert len(curve['step']) == POINTS
    assert curve['step'][:2] == [3, 6]
    assert curve['loss'][:2] == [2, 5]
    assert np.mean(curve['loss']) == 450.5


def test_a_line_that_is_cut_off_is_left_out(tmp_path):
    write(tmp_path / '20260101_000000', [step(1), step(2)])
    with (tmp_path / '20260101_000000/vis_data/scalars.json').open('a') as file:
        file.write('{"lr": 0.1, "lo')
    found = training_curves(tmp_path, ['mIoU'])
    assert found['training_loss']['step'] == [1, 2]
    assert 'validation' not in found


def test_where_nothing_was_trained_there_are_none(tmp_path):
    assert training_curves(tmp_path, ['mIoU']) == {}
    assert training_curves(tmp_path / 'not there', ['mIoU']) == {}
    write(tmp_path / '20260104_000000', [{'mIoU': 0.3, 'step': 2}])
    assert training_curves(tmp_path, ['mIoU']) == {}
