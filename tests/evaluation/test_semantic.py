"""Semantic scores against whole numbers counted one by one and against mmseg's totals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from PIL import Image

from fastvit_dense.errors import DataError
from fastvit_dense.evaluation import PredictionError, SemanticMetric, evaluate_predictions
from fastvit_dense.evaluation.semantic import class_scores, count_pixels, count_tensor
from tests.facts import raises_naming


def sample(predicted, truth, path='a.jpg', **fields):
    def element(labels):
        return {'data': torch.as_tensor(labels)[None]}

    return {
        'pred_sem_seg': element(predicted),
        'gt_sem_seg': element(truth),
        'img_path': path,
    } | fields


def metric_of(classes, **options):
    metric = SemanticMetric(**options)
    metric.dataset_meta = {'classes': [f'class {i}' for i in range(classes)]}
    return metric


def random_maps(seed, classes, size=(37, 53), ignore=255):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, size)
    predicted = np.where(random.random(size) < 0.7, truth, random.integers(0, classes, size))
    truth[random.random(size) < 0.1] = ignore
    return predicted, truth


def matrix_by_loop(predicted, truth, classes, ignore=255):
    matrix = [[0] * classes for _ in range(classes)]
    for p, t in zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True):
        if t != ignore:
            matrix[t][p] += 1
    return np.array(matrix)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 9),
    st.sampled_from([0, 4, 255]),
    st.sampled_from([torch.int64, torch.int32, torch.uint8]),
    st.sampled_from([(9, 11), (1, 1), (0, 5), (300, 301)]),
)
def test_counts_equal_a_loop_over_pixels(seed, classes, ignore, dtype, size):
    predicted, truth = random_maps(seed, classes, size, ignore)
    tensors = [torch.from_numpy(labels).to(dtype) for labels in (predicted, truth)]
    counts = count_pixels(*tensors, classes, ignore)
    assert counts.dtype == torch.int64
    expected = matrix_by_loop(predicted, truth, classes, ignore)
    np.testing.assert_array_equal(counts.numpy(), expected)
    flat = [labels.reshape(-1) for labels in tensors]
    on_device = count_tensor(*flat, classes, ignore)
    np.testing.assert_array_equal(on_device.numpy(), expected)


def test_metrics_equal_exact_fractions():
    from fractions import Fraction

    metric = metric_of(6)
    total = np.zeros((6, 6), dtype=int)
    for seed in range(4):
        predicted, truth = random_maps(seed, 4)  # classes 4 and 5 never occur
        predicted[0, 0] = 5  # but 5 is predicted once
        truth[0, 0] = 0
        metric.process({}, [sample(predicted, truth, f'{seed}.jpg')])
        total += matrix_by_loop(predicted, truth, 6)
    scores = metric.evaluate(4)
    np.testing.assert_array_equal(metric.result.arrays['confusion_matrix'], total)

    hits, rows, columns = total.diagonal(), total.sum(1), total.sum(0)
    iou = [
        Fraction(int(h), int(r + c - h))
        for h, r, c in zip(hits, rows, columns, strict=True)
        if r + c
    ]
    acc = [Fraction(int(h), int(r)) for h, r in zip(hits, rows, strict=True) if r]
    dice = [
        Fraction(2 * int(h), int(r + c))
        for h, r, c in zip(hits, rows, columns, strict=True)
        if r + c
    ]
    expected = {
        'mIoU': 100 * sum(iou) / 5,
        'mAcc': 100 * sum(acc) / 4,
        'mDice': 100 * sum(dice) / 5,
        'aAcc': Fraction(100 * int(hits.sum()), int(total.sum())),
    }
    assert scores == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-14)
    assert all(type(value) is float for value in scores.values())
    rows = metric.result.per_class
    assert rows[4] == {'name': 'class 4', 'pixels': 0, 'IoU': None, 'Acc': None, 'Dice': None}
    assert rows[5]['IoU'] == 0
    assert rows[5]['Acc'] is None
    assert rows[2]['IoU'] == pytest.approx(float(100 * iou[2]))


def test_totals_equal_mmsegs(monkeypatch):
    IoUMetric = pytest.importorskip('mmseg.evaluation').IoUMetric
    classes = 150
    total = np.zeros((4, classes), dtype=np.int64)
    ours = metric_of(classes, iou_metrics=['mIoU', 'mDice', 'mFscore'])
    theirs = IoUMetric(iou_metrics=['mIoU', 'mDice', 'mFscore'])
    theirs.dataset_meta = ours.dataset_meta
    for seed in range(3):
        predicted, truth = random_maps(seed, classes, (120, 160))
        areas = IoUMetric.intersect_and_union(
            torch.from_numpy(predicted), torch.from_numpy(truth), classes, 255
        )
        total += np.stack([area.long().numpy() for area in areas])
        one = sample(predicted, truth, f'{seed}.jpg')
        ours.process({}, [one])
        theirs.process({}, [one])
    scores = ours.evaluate(3)
    matrix = ours.result.arrays['confusion_matrix']
    rows, columns, hits = matrix.sum(1), matrix.sum(0), matrix.diagonal()
    np.testing.assert_array_equal(total, [hits, rows + columns - hits, columns, rows])
    # mmseg rounds to two decimals
    assert {k: round(v, 2) for k, v in scores.items()} == pytest.approx(
        theirs.evaluate(3), abs=0.011
    )


def test_large_counts_stay_exact():
    metric = metric_of(2)
    metric.process({}, [sample(np.zeros((1, 3), int), np.zeros((1, 3), int))])
    many = metric.results[0] | {'id': 'b.jpg', 'counts': np.array([2**53 + 1])}
    metric.results = [many]
    metric.evaluate(1)
    assert metric.result.arrays['confusion_matrix'][0, 0] == 2**53 + 1


def test_nothing_known_is_not_a_number():
    metric = metric_of(3)
    metric.process({}, [sample(np.zeros((2, 2), int), np.full((2, 2), 255))])
    scores = metric.evaluate(1)
    assert all(np.isnan(value) for value in scores.values())
    filled = metric_of(3, nan_to_num=0)
    filled.process({}, [sample(np.zeros((2, 2), int), np.full((2, 2), 255))])
    assert filled.evaluate(1)['mIoU'] == 0


def test_f_score_weighs_recall():
    scores = class_scores(np.array([[6, 2], [1, 1]]), beta=2)
    precision, recall = 6 / 7, 6 / 8
    assert scores['Fscore'][0] == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_image_score_ranks_samples():
    metric = metric_of(3)
    truth = np.array([[0, 0, 1, 1]])
    metric.process({}, [sample(truth, truth, 'good.jpg'), sample(truth * 0, truth, 'bad.jpg')])
    metric.evaluate(2)
    assert metric.result.per_sample == [
        {'id': 'bad.jpg', 'score': 25.0},
        {'id': 'good.jpg', 'score': 100.0},
    ]


@pytest.mark.parametrize(
    ('predicted', 'truth', 'facts'),
    [
        (np.full((2, 3), 3), np.zeros((2, 3), int), ['predicted', 3, '0..2']),
        (np.full((2, 3), -1), np.zeros((2, 3), int), ['predicted', -1, '0..2']),
        (np.zeros((2, 3), int), np.full((2, 3), 3), ['true', 3, '0..2']),
        (np.zeros((2, 3), int), np.full((2, 3), 254), ['true', 254, '0..2']),
        (np.zeros((2, 3), int), np.full((2, 3), -1), ['true', -1, '0..2']),
        (np.zeros((2, 4), int), np.zeros((2, 3), int), ['prediction', (2, 4), 'truth', (2, 3)]),
    ],
)
def test_maps_that_cannot_be_scored(predicted, truth, facts):
    with raises_naming(PredictionError, 'some/where.jpg', *facts):
        metric_of(3).process({}, [sample(predicted, truth, 'some/where.jpg')])


def test_options_are_checked():
    with raises_naming(DataError, 'iou_metrics', 'mIoU', 'found', 'mAP'):
        SemanticMetric(iou_metrics=['mAP'])
    with raises_naming(DataError, 'format_only', 'output_dir'):
        SemanticMetric(format_only=True)
    with raises_naming(DataError, 'SemanticMetric', 'classes'):
        SemanticMetric().process({}, [sample(np.zeros((1, 1), int), np.zeros((1, 1), int))])


def test_format_only_writes_official_label_maps(tmp_path):
    metric = metric_of(3, format_only=True, output_dir=str(tmp_path))
    predicted = np.array([[0, 1, 2]])
    one = sample(predicted, predicted, 'x/ADE_val_1.jpg', reduce_zero_label=True)
    del one['gt_sem_seg']
    one['pred_sem_seg'] = PixelData(data=one['pred_sem_seg']['data'])
    metric.process({}, [one])
    assert metric.evaluate(1) == {}
    np.testing.assert_array_equal(Image.open(tmp_path / 'ADE_val_1.png'), [[1, 2, 3]])
    metric.process({}, [one])
    with raises_naming(DataError, 'x/ADE_val_1.tif', 'x/ADE_val_1.jpg', 'x/ADE_val_1.png'):
        metric.process({}, [one | {'img_path': 'x/ADE_val_1.tif'}])


@pytest.fixture
def ade_folder(tmp_path):
    """Three true label maps in ADE20K's layout, without images, and predictions for them."""
    random = np.random.default_rng(0)
    labels = tmp_path / 'data' / 'labels'
    labels.mkdir(parents=True)
    predictions = {}
    for index in range(3):
        truth = random.integers(0, 5, (8, 9)).astype(np.uint8)
        Image.fromarray(truth).save(labels / f'im{index}.png')
        predictions[f'im{index}'] = random.integers(0, 4, (8, 9))
    dataset = {
        'type': 'mmseg.ADE20KDataset',
        'data_root': str(tmp_path / 'data'),
        'data_prefix': {'img_path': 'images', 'seg_map_path': 'labels'},
        'metainfo': {'classes': ['wall', 'building', 'sky', 'floor']},
        'pipeline': [{'type': 'mmseg.LoadImageFromFile'}, {'type': 'mmseg.LoadAnnotations'}],
    }
    return dataset, predictions


def test_saved_label_maps_score_the_same(ade_folder, tmp_path):
    pytest.importorskip('mmseg')
    dataset, predictions = ade_folder
    metric = metric_of(4)
    metric.save_predictions(tmp_path / 'saved')
    for name, predicted in predictions.items():
        raw = np.array(Image.open(tmp_path / 'data' / 'labels' / f'{name}.png')).astype(int)
        truth = np.where(raw == 0, 255, raw - 1)
        path = str(tmp_path / 'data' / 'images' / f'{name}.jpg')
        metric.process({}, [sample(predicted, truth, path, reduce_zero_label=True)])
    expected = metric.evaluate(3)
    found = evaluate_predictions({'type': 'SemanticMetric'}, tmp_path / 'saved', dataset)
    assert found.metrics == expected
    assert found.per_sample == metric.result.per_sample
    assert [row['name'] for row in found.per_class] == ['wall', 'building', 'sky', 'floor']
    writing = {'type': 'SemanticMetric', 'output_dir': str(tmp_path / 'saved')}  # as in a test
    assert evaluate_predictions(writing, tmp_path / 'saved', dataset).metrics == expected
    assert len(list((tmp_path / 'saved').glob('*.png'))) == 3


@pytest.mark.parametrize(
    ('change', 'name', 'facts'),
    [
        (lambda file: file.unlink(), 'im1.png', ['found none', '1 of 3', '2 files *.png']),
        (lambda file: file.rename(file.with_suffix('.tif')), 'im1.png', ['1 files *.tif']),
        (lambda file: file.write_bytes(b'no'), 'im1.png', ['cannot be decoded']),
        (lambda file: file.write_bytes(b''), 'im1.png', ['found', 'empty', '0 bytes']),
        (lambda file: Image.new('RGB', (9, 8)).save(file), 'im1.png', ['RGB', 'mask[..., 0]']),
        (lambda file: Image.new('L', (9, 8), 5).save(file), 'im1.png', ['1 to 4', 'found 5', 72]),
        (lambda file: Image.new('L', (9, 8), 0).save(file), 'im1.png', ['from 1', 'found 0', 72]),
        (lambda file: Image.new('L', (7, 8), 1).save(file), 'im1.png', [(8, 7), 'truth', (8, 9)]),
        (lambda file: Image.new('L', (9, 8)).save(file), 'im7.png', ['no such image', 1]),
    ],
)
def test_saved_label_maps_that_cannot_be_scored(ade_folder, tmp_path, change, name, facts):
    pytest.importorskip('mmseg')
    dataset, predictions = ade_folder
    folder = tmp_path / 'saved'
    folder.mkdir()
    for image, predicted in predictions.items():
        Image.fromarray((predicted + 1).astype(np.uint8)).save(folder / f'{image}.png')
    change(folder / name)
    with raises_naming(PredictionError, folder / name, *facts):
        evaluate_predictions({'type': 'SemanticMetric'}, folder, dataset)


@pytest.mark.gpu
def test_counts_on_a_gpu():
    predicted, truth = random_maps(0, 150, (3000, 2000))
    tensors = [torch.from_numpy(labels).cuda() for labels in (predicted, truth)]
    counts = count_pixels(*tensors, 150)
    assert counts.device.type == 'cuda'
    expected = count_pixels(*(labels.cpu() for labels in tensors), 150)
    assert torch.equal(counts.cpu(), expected)
    metric = metric_of(150)
    metric.process({}, [sample(tensors[0], torch.from_numpy(truth))])
    assert metric.evaluate(1)['mIoU'] > 0
