"""Whole models side by side: forms, random weights, files that do not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.machine import BenchmarkError
from benchmarks.models import benchmark_models, score_threshold
from benchmarks.networks import Schedule
from benchmarks.pictures import make_picture
from fastvit_dense.deploy.export import trace, write
from fastvit_dense.deploy.job import prepare
from fastvit_dense.errors import CheckpointError, ConfigError, ImageError
from fastvit_dense.inference.predictor import load_model
from fastvit_dense.inference.timing import PARTS
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
SCHEDULE = Schedule(rounds=2, seconds=1)


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    return make_picture(str(tmp_path_factory.mktemp('picture')), (120, 90))


def test_picture_has_the_size_asked_for(picture):
    with Image.open(picture) as image:
        assert image.size == (120, 90)
        assert len(np.unique(image)) > 100, 'a photograph'


def test_forms_of_a_detector(tiny_instance, picture, tmp_path):
    checkpoint, shown = tmp_path / 'random.pth', []
    torch.save(
        {'state_dict': load_model(tiny_instance, None, 'cpu').model.state_dict()}, checkpoint
    )
    results = benchmark_models(
        [tiny_instance],
        [checkpoint],
        image=picture,
        forms=('upstream', 'folded', 'folded/channels_last'),
        schedule=SCHEDULE,
        cfg_options=['model.test_cfg.rpn.max_per_img=50'],
        progress=shown.append,
    )
    rows = results['rows']
    assert [r['form'] for r in rows] == ['upstream', 'folded', 'folded/channels_last']
    for row in rows:
        assert row['reason'] is None
        assert row['notes'] == []
        assert (row['picture'], row['input']) == ('90x120', '72x96')
        assert len(row['rounds']) == 2
        assert set(row['part_seconds']) == set(PARTS)
        # two calls of a turn and the one of the preparation, each at most twice the median apart
        assert sum(row['part_seconds'].values()) == pytest.approx(row['seconds'], rel=0.9)
        post = row['part_seconds']['post-processing']
        assert row['post_share'] == pytest.approx(post / sum(row['part_seconds'].values()))
    assert rows[0]['times_faster'] == 1
    assert len({row['detections'] for row in rows}) == 1
    assert [line.split()[-1] for line in shown] == [row['form'] for row in rows]
    assert rows[0]['detections'] > 0


def test_random_weights_find_something_and_it_is_said(tiny_instance, picture):
    cfg_options = ['model.test_cfg.rcnn.score_thr=0.9']
    (row,) = benchmark_models(
        [tiny_instance],
        image=picture,
        forms=('folded',),
        schedule=SCHEDULE,
        cfg_options=cfg_options,
        progress=len,
    )['rows']
    assert row['notes'][0] == 'random weights'
    assert 'score threshold' in row['notes'][1]
    assert row['detections'] > 0


def test_threshold_lets_so_many_boxes_through(tiny_instance, picture):
    torch.manual_seed(0)
    predictor = load_model(tiny_instance, None, 'cpu')
    seen = []
    predictor.model.roi_head.bbox_head.register_forward_hook(lambda m, i, o: seen.append(o[0]))
    threshold = score_threshold(predictor, picture)
    scores = seen[0].softmax(-1)[:, :-1]
    assert (scores >= threshold).sum() == min(500, scores.numel())


def test_models_without_boxes(tiny_semantic, picture):
    (row,) = benchmark_models(
        [tiny_semantic],
        image=picture,
        forms=('upstream', 'train'),
        schedule=SCHEDULE,
        progress=len,
    )['rows']
    assert row['form'] == 'train', 'there is no mask head of ours to replace'
    assert row['detections'] is None
    assert row['notes'] == ['random weights']
    assert row['part_seconds']['post-processing'] > 0
    assert score_threshold(load_model(tiny_semantic, None, 'cpu'), picture) is None


def test_hand_without_a_mano_file(root_dir, tmp_path):
    picture = make_picture(str(tmp_path), (64, 64))
    options = ['model.mano.path=no/such/MANO_RIGHT.pkl', 'model.backbone.arch=t8']
    options += ['model.head.in_channels=384']
    (row,) = benchmark_models(
        [f'{root_dir}/configs/handmesh_fastvit_sa24.py'],
        image=picture,
        forms=('folded',),
        schedule=SCHEDULE,
        cfg_options=options,
        progress=len,
    )['rows']
    assert row['reason'] is None
    assert row['notes'] == ['random weights', 'the stand-in hand, without a MANO file']
    assert row['input'] == '224x224'


def test_files_that_do_not_fit(tiny_semantic, tmp_path, picture):
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(b'no checkpoint')
    no_picture = tmp_path / 'text.jpg'
    no_picture.write_text('no picture')
    for facts, kwargs in (
        ((1, 'checkpoints', 2, 'configs'), dict(checkpoints=['a.pth'])),
        (('exported files', 'one config'), dict(exported=['a.onnx'])),
    ):
        with raises_naming(BenchmarkError, *facts):
            benchmark_models([tiny_semantic] * 2, schedule=SCHEDULE, **kwargs)
    for error, facts, kwargs in (
        (BenchmarkError, ('a.pth', '.onnx', '.xml'), dict(exported=['a.pth'])),
        (BenchmarkError, ('rounds', 0), dict(schedule=Schedule(rounds=0))),
        (ImageError, ('no/such.jpg', 'no such file'), dict(image='no/such.jpg')),
        (ImageError, (no_picture, 'decoded'), dict(image=str(no_picture))),
        (CheckpointError, (broken,), dict(checkpoints=[str(broken)], image=picture)),
    ):
        with raises_naming(error, *facts):
            benchmark_models([tiny_semantic], progress=len, **{'schedule': SCHEDULE} | kwargs)
    with raises_naming(ConfigError, 'configs/nothing.py', 'no such config file'):
        benchmark_models(['configs/nothing.py'], schedule=SCHEDULE)


def test_an_exported_file_that_is_none_is_a_row_with_the_reason(tiny_semantic, tmp_path, picture):
    pytest.importorskip('onnxruntime')
    file = tmp_path / 'model.onnx'
    file.write_bytes(b'no export')
    rows = benchmark_models(
        [tiny_semantic],
        image=picture,
        exported=[str(file)],
        forms=('folded',),
        schedule=SCHEDULE,
        progress=len,
    )['rows']
    assert [row['form'] for row in rows] == ['folded', 'model.onnx fp32']
    assert rows[0]['seconds'] > 0
    assert 'model.onnx' in rows[1]['reason']
    assert rows[1]['seconds'] is None


@pytest.fixture(scope='module')
def traced(tiny_semantic):
    job = prepare(load_config(tiny_semantic, pretrained=False), None)
    return trace(job), job.description


@pytest.mark.parametrize('kind', ['onnx', 'openvino'])
def test_an_exported_file_is_timed_by_its_parts(tiny_semantic, traced, tmp_path, picture, kind):
    pytest.importorskip({'onnx': 'onnxruntime'}.get(kind, kind))
    file = tmp_path / {'onnx': 'model.onnx', 'openvino': 'model.xml'}[kind]
    write(*traced, kind, file)
    train, row = benchmark_models(
        [tiny_semantic],
        image=picture,
        exported=[str(file)],
        forms=('train',),
        schedule=SCHEDULE,
        progress=len,
    )['rows']
    assert row['reason'] is None
    assert (row['picture'], row['input']) == (train['picture'], train['input'])
    assert row['part_seconds']['network'] > row['part_seconds']['decode'] > 0
    assert row['part_seconds']['post-processing'] > 0
