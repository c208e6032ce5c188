"""Mask R-CNN as a file: the same detections as mmdet's inference, on images of any size."""

import numpy as np
import onnx
import pytest
import torch
import torchvision

from fastvit_dense import load_model
from fastvit_dense.deploy.check import check_images, check_model
from fastvit_dense.deploy.export import export, trace, write
from fastvit_dense.deploy.job import prepare
from fastvit_dense.deploy.onnx_file import with_score_threshold
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.detector import decode_boxes, non_max_suppression, pool_rois, top
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
STANDARD = ('', 'ai.onnx')


def test_same_detections_at_several_sizes(job, file, exported):
    images = list(check_images((96, 128), dynamic=True))
    images.append(('one pixel', np.full((1, 1, 3), 90, np.uint8)))
    lines = list(check_model(job.predictor.task, job.predictor.model, exported(job, file), images))
    assert len(lines) == 6 * 3 + 2
    assert all(line.passed for line in lines), '\n'.join(map(str, lines))
    assert lines[-1].value >= 300


def test_mask_head_of_mmdet(tiny_instance, trained, file, exported):
    """Its masks are whole images of True and False, not run-length codes."""
    cfg = load_config(tiny_instance, cfg_options=['model.roi_head.mask_head.type=FCNMaskHead'])
    job = prepare(cfg, trained, size=(96, 128))
    images = list(check_images((64, 96), dynamic=False))[:1]
    lines = list(check_model(job.predictor.task, job.predictor.model, exported(job, file), images))
    assert len(lines) == 3 + 2
    assert all(line.passed for line in lines), '\n'.join(map(str, lines))


def test_standard_operators_only(model):
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert {node.domain for node in model.graph.node} <= set(STANDARD)
    assert kinds.count('NonMaxSuppression') == 6  # five levels, and all classes at once
    assert kinds.count('RoiAlign') == 8
    assert 'Loop' not in kinds
    assert 'If' not in kinds
    assert [output.name for output in model.graph.output] == ['boxes', 'labels', 'scores', 'masks']


@pytest.mark.parametrize(('kind', 'suffix'), [('onnx', '.onnx'), ('openvino', '.xml')])
def test_no_detection_at_all(job, model, kind, suffix, tmp_path):
    pytest.importorskip({'onnx': 'onnxruntime'}.get(kind, kind))
    path = tmp_path / f'high{suffix}'
    write(with_score_threshold(model, 0.999), job.description, kind, path)
    outputs = ExportedNetwork(path)(np.zeros((1, 3, 64, 96)))
    assert {name: array.shape for name, array in outputs.items()} == {
        'boxes': (0, 4),
        'labels': (0,),
        'scores': (0,),
        'masks': (0, 28, 28),
    }


def test_predictor_gives_the_same_result(job, file, tiny_instance, trained):
    photo = np.random.default_rng(0).integers(0, 256, (150, 203, 3), dtype=np.uint8)
    one = load_model(tiny_instance, trained)(photo)
    other = load_model(tiny_instance, file)(photo)
    assert len(one.boxes) == len(other.boxes) > 50
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-3)
    assert other.masks.shape == one.masks.shape
    same = (np.abs(one.boxes[:, None] - other.boxes).max(-1) < 0.1) & (
        one.labels[:, None] == other.labels
    )
    assert same.any(1).mean() >= 0.95


def test_non_max_suppression_against_torchvision():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(3, 50, 4, generator=generator) * 40
    boxes[..., 2:] += boxes[..., :2]
    scores = torch.rand(3, 1, 50, generator=generator)
    kept = non_max_suppression(boxes, scores, 50, 0.5, 0.2)
    labels = torch.arange(3).repeat_interleave(50)
    flat = torchvision.ops.batched_nms(boxes.reshape(-1, 4), scores.flatten(), labels, 0.5)
    flat = flat[scores.flatten()[flat] > 0.2]
    assert {(int(s), int(b)) for s, _, b in kept} == {(int(i) // 50, int(i) % 50) for i in flat}
    few = non_max_suppression(boxes, scores, 2, 0.5, 0.2)
    assert (few[:, 0].bincount() <= 2).all()
    assert len(non_max_suppression(boxes, scores, 5, 0.5, 2.0)) == 0


def test_decode_boxes_against_mmdet(job):
    coder = job.predictor.model.roi_head.bbox_head.bbox_coder
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(40, 4, generator=generator) * 60
    boxes[:, 2:] += boxes[:, :2]
    deltas = torch.randn(40, 4, generator=generator) * 5
    deltas[0] = 100.0
    corner = torch.tensor([80.0, 70.0, 80.0, 70.0])
    expected = coder.decode(boxes, deltas, max_shape=(70, 80))
    torch.testing.assert_close(decode_boxes(boxes, deltas, coder, corner), expected)


def test_pool_rois_against_mmdet(job):
    extractor = job.predictor.model.roi_head.bbox_roi_extractor
    generator = torch.Generator().manual_seed(0)
    features = tuple(torch.randn(1, 32, 64 >> i, 64 >> i, generator=generator) for i in range(4))
    boxes = torch.rand(30, 4, generator=generator) * 120
    boxes[:, 2:] = boxes[:, :2] + boxes[:, 2:] * torch.rand(30, 1, generator=generator) * 6
    boxes[0, 2:] = boxes[0, :2]  # empty
    pooled, order = pool_rois(features, boxes, extractor)
    expected = extractor(features, torch.cat([torch.zeros(30, 1), boxes], dim=1))
    assert sorted(order.tolist()) == list(range(30))
    torch.testing.assert_close(pooled, expected[order])


def test_top_of_few_and_many():
    scores = torch.tensor([0.1, 0.9, 0.5])
    assert top(scores, 2)[1].tolist() == [1, 2]
    assert top(scores, 10)[1].tolist() == [1, 2, 0]
    assert top(scores[:0], 10)[1].tolist() == []


def test_parts_that_the_graph_does_not_know(tiny_instance):
    cfg = load_config(tiny_instance)
    cfg.model.test_cfg.rcnn.nms.type = 'soft_nms'
    with raises_naming(ExportError, 'model.test_cfg.rcnn.nms', 'nms', 'soft_nms'):
        prepare(cfg, None)
    cfg = load_config(tiny_instance)
    cfg.model.roi_head.bbox_roi_extractor.roi_layer = dict(type='RoIPool', output_size=7)
    with raises_naming(ExportError, 'model.roi_head', 'RoIAlign', 'RoIPool'):
        prepare(cfg, None)


def test_one_suppression_of_all_classes(job, file, exported, tiny_instance, trained, tmp_path):
    """mmdet's `class_agnostic`: the file follows it, and has fewer objects for it."""
    option = 'model.test_cfg.rcnn.nms.class_agnostic=True'
    cfg = load_config(tiny_instance, cfg_options=[option])
    together = prepare(cfg, trained, size=(96, 128))
    path = tmp_path / 'together.onnx'
    write(trace(together), together.description, 'onnx', path)
    images = list(check_images((96, 128)))[:2]
    task, model = together.predictor.task, together.predictor.model
    lines = list(check_model(task, model, exported(together, path), images))
    assert all(line.passed for line in lines[:-1]), '\n'.join(map(str, lines))
    counts = [
        len(ExportedNetwork(p)(images[0][1].transpose(2, 0, 1)[None])['scores'])
        for p in (path, file)
    ]
    assert 0 < counts[0] < counts[1]


@pytest.mark.parametrize(
    ('place', 'setting'),
    [('rpn', dict(class_agnostic=True)), ('rcnn', dict(max_num=5)), ('rcnn', dict(offset=1))],
)
def test_settings_of_suppression_that_the_graph_has_not(tiny_instance, place, setting):
    cfg = load_config(tiny_instance)
    cfg.model.test_cfg.rpn.nms.update(class_agnostic=False, score_threshold=0.0)
    prepare(cfg, None)
    cfg.model.test_cfg[place].nms.update(setting)
    with raises_naming(ExportError, f'model.test_cfg.{place}.nms', 'iou_threshold', *setting):
        prepare(cfg, None)


def test_core_ml_is_refused(tiny_instance, trained, tmp_path):
    pytest.importorskip('coremltools')
    with raises_naming(ExportError, 'coreml', 'RoIAlign', '--part backbone'):
        export(tiny_instance, trained, 'coreml', tmp_path / 'x.mlpackage')
