"""FreiHAND's numbers: golden files of its own code, a plain loop, ugly predictions."""

import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from fastvit_dense.evaluation import HandMetric, PredictionError, evaluate_hand
from fastvit_dense.evaluation.hand_scores import THRESHOLDS, score_hands
from tests.facts import raises_naming, warns_naming

KEYS = [
    *('xyz_mean3d', 'xyz_auc3d', 'xyz_al_mean3d', 'xyz_al_auc3d'),
    *('mesh_mean3d', 'mesh_auc3d', 'mesh_al_mean3d', 'mesh_al_auc3d'),
    *('f_score_5', 'f_al_score_5', 'f_score_15', 'f_al_score_15'),
]


@pytest.fixture(scope='module')
def golden(shared_dir):
    folder = shared_dir / 'golden/hand'
    arrays = np.load(folder / 'freihand_eval.npz')
    return json.loads((folder / 'freihand_eval.json').read_text()), dict(arrays)


def made_up_hands(count, noise=0.006, seed=0):
    random = np.random.default_rng(seed)
    template = random.normal(0, 0.04, (799, 3)) * [1, 1.5, 0.6]
    turns = np.linalg.qr(random.normal(size=(count, 3, 3)))[0]
    truth = template @ turns + random.normal(0, 0.1, (count, 1, 3)) + [0, 0, 0.7]
    found = truth + random.normal(0, noise, truth.shape) + random.normal(0, noise, (count, 1, 3))
    return truth[:, :21], truth[:, 21:], found[:, :21], found[:, 21:]


def data_samples(gt_xyz, gt_verts, pred_xyz, pred_verts):
    return [
        BaseDataElement(
            metainfo={'img_id': i},
            gt_hand=BaseDataElement(joints=torch.tensor(gx), vertices=torch.tensor(gv)),
            pred_hand=BaseDataElement(joints=torch.tensor(px), vertices=torch.tensor(pv)),
        )
        for i, (gx, gv, px, pv) in enumerate(
            zip(gt_xyz, gt_verts, pred_xyz, pred_verts, strict=True)
        )
    ]


@pytest.mark.filterwarnings('ignore:.*aligned by a reflection')
@pytest.mark.parametrize('case', ['full', 'subset', 'verts500'])
@pytest.mark.parametrize('through_metric', [False, True])
def test_equals_freihands_own_code(golden, case, through_metric):
    expected, arrays = golden
    expected = expected['cases'][case]
    n = expected['num_samples']
    chosen = [arrays[k][:n] for k in ('gt_xyz', 'gt_verts', 'pred_xyz')]
    chosen.append(arrays[expected['pred_verts_array']][:n])
    if through_metric:
        metric = HandMetric()
        metric.process({}, data_samples(*chosen))
        scores = metric.evaluate(n)
        pck = {k: v for k, v in metric.result.curves['pck'].items() if k != 'threshold_mm'}
    else:
        scores = evaluate_hand(*chosen)
        pck = score_hands(*chosen).pck
    assert list(scores)[:12] == KEYS
    assert all(type(value) is float for value in scores.values())
    for name, value in expected['scores'].items():
        tolerance = 1e-6 if name.endswith('mean3d') else 1e-9
        assert scores[name] == pytest.approx(value, abs=tolerance, rel=0), name
    for name, curve in pck.items():
        assert np.abs(np.array(curve) - expected['pck'][name]['pck']).max() < 1e-9
    assert set(pck) == {'xyz', 'xyz_al'} | (set() if case == 'verts500' else {'mesh', 'mesh_al'})
    if case != 'verts500':
        assert scores['PA-MPJPE'] == pytest.approx(scores['xyz_al_mean3d'] * 10)
        assert scores['PA-MPVPE'] == pytest.approx(scores['mesh_al_mean3d'] * 10)


def test_per_sample_values_and_reflections(golden):
    expected, arrays = golden
    per_sample = expected['cases']['full']['per_sample']
    with warns_naming(UserWarning, 1, 10, 'reflection', 'sample 5'):
        hands = score_hands(*(arrays[k] for k in ('gt_xyz', 'gt_verts', 'pred_xyz', 'pred_verts')))
    for kind, errors in hands.errors.items():
        np.testing.assert_allclose(errors.mean(1) * 1000, per_sample[f'{kind}_mm'], atol=1e-8)
    for index, threshold in enumerate((5, 15)):
        for kind, name in (('raw', f'f_score_{threshold}'), ('al', f'f_al_score_{threshold}')):
            np.testing.assert_allclose(hands.f_scores[kind][:, index], per_sample[name], atol=1e-12)
    np.testing.assert_array_equal(hands.determinants['xyz'], per_sample['det_xyz'])
    np.testing.assert_array_equal(hands.determinants['mesh'], per_sample['det_mesh'])


def test_equals_a_plain_loop():
    """The straightforward way: one hand after the other, SciPy's Procrustes and trees."""
    arrays = made_up_hands(130)
    scores = evaluate_hand(*arrays)

    def aligned(truth, found):
        truth_mean, found_mean = truth.mean(0), found.mean(0)
        truth, found = truth - truth_mean, found - found_mean
        s1, s2 = np.linalg.norm(truth) + 1e-8, np.linalg.norm(found) + 1e-8
        rotation, scale = orthogonal_procrustes(truth / s1, found / s2)
        return (found / s2) @ rotation.T * scale * s1 + truth_mean

    def f_score(truth, found, threshold):
        r = (cKDTree(found).query(truth)[0] < threshold).mean()
        p = (cKDTree(truth).query(found)[0] < threshold).mean()
        return 2 * p * r / (p + r) if p + r else 0

    errors = {k: [] for k in ('xyz', 'xyz_al', 'mesh', 'mesh_al')}
    f_scores = {k: [] for k in KEYS[8:]}
    for gx, gv, px, pv in zip(*arrays, strict=True):
        moved = aligned(gv, pv)
        errors['xyz'].append(np.linalg.norm(gx - px, axis=1))
        errors['xyz_al'].append(np.linalg.norm(gx - aligned(gx, px), axis=1))
        errors['mesh'].append(np.linalg.norm(gv - pv, axis=1))
        errors['mesh_al'].append(np.linalg.norm(gv - moved, axis=1))
        for mm in (5, 15):
            f_scores[f'f_score_{mm}'].append(f_score(gv, pv, mm / 1000))
            f_scores[f'f_al_score_{mm}'].append(f_score(gv, moved, mm / 1000))
    for kind, values in errors.items():
        values = np.array(values)
        assert scores[f'{kind}_mean3d'] == pytest.approx(100 * values.mean(), rel=1e-12)
        pck = [(values <= t).mean() for t in THRESHOLDS]
        assert scores[f'{kind}_auc3d'] == pytest.approx(np.trapezoid(pck, THRESHOLDS) / 0.05)
    for name, values in f_scores.items():
        assert scores[name] == pytest.approx(np.mean(values), rel=1e-12)
        assert 0 < scores[name] < 1


def test_perfect_and_zero_predictions():
    gx, gv, *_ = made_up_hands(3)
    perfect = evaluate_hand(gx, gv, gx, gv)
    assert [perfect[k] for k in KEYS if k.startswith('f_')] == [1, 1, 1, 1]
    assert [perfect['xyz_mean3d'], perfect['mesh_mean3d']] == [0, 0]
    assert perfect['xyz_auc3d'] == pytest.approx(1)
    zero = evaluate_hand(gx, gv, gx * 0, gv * 0)
    spread = np.linalg.norm(gx - gx.mean(1, keepdims=True), axis=2).mean()
    assert zero['xyz_al_mean3d'] == pytest.approx(spread * 100)


def test_metric_result_per_joint_and_sample():
    metric = HandMetric()
    samples = data_samples(*(a.astype(np.float32) for a in made_up_hands(5)))
    metric.process({}, samples[3:])
    metric.process({}, [sample.to_dict() for sample in samples[:3]])
    scores = metric.evaluate(5)
    result = metric.result
    assert result.metrics == scores
    assert [row['id'] for row in result.per_sample] == [0, 1, 2, 3, 4]
    mean = np.mean([row['PA-MPJPE'] for row in result.per_class])
    assert mean == pytest.approx(scores['PA-MPJPE'])
    assert -np.mean([row['score'] for row in result.per_sample]) == pytest.approx(
        scores['PA-MPVPE']
    )
    assert result.protocol['aligned_by_reflection'] == 0


def test_truth_of_a_turned_input_is_turned_back():
    """Test pipelines may turn or mirror: predictions and truth are compared where both belong."""
    arrays = [a.astype(np.float32) for a in made_up_hands(4)]
    plain, turned = HandMetric(), HandMetric()
    plain.process({}, data_samples(*arrays))
    expected = plain.evaluate(4)
    roll = np.array([[0.6, -0.8, 0], [-0.8, -0.6, 0], [0, 0, 1]])  # a reflection
    samples = data_samples(*(a @ roll.T for a in arrays[:2]), *arrays[2:])
    for sample in samples:
        sample.set_metainfo({'camera_roll': roll})
    turned.process({}, samples)
    found = turned.evaluate(4)
    assert found == pytest.approx(expected, rel=1e-5)
    assert turned.result.protocol['aligned_by_reflection'] == 0


@pytest.mark.parametrize(
    ('change', 'facts'),
    [
        (lambda a: a[2] * 1000, ['pred_xyz', 'true', 'millimetres', 'metres']),
        (lambda a: a[2] / 1000, ['gt_xyz', 'predicted', 'millimetres', 'metres']),
        (lambda a: a[2][:2], ['pred_xyz', (3, 21, 3), 'found', (2, 21, 3)]),
        (lambda a: a[2][:, :20], ['pred_xyz', (3, 21, 3), 'found', (3, 20, 3)]),
        (lambda a: a[2][..., :2], ['pred_xyz', '(N, 21, 3)', 'found', (3, 21, 2)]),
        (
            lambda a: np.where(np.arange(3)[:, None, None] == 1, np.nan, a[2]),
            ['pred_xyz', 'sample 1', 'finite'],
        ),
    ],
)
def test_arrays_that_cannot_be_scored(change, facts):
    arrays = list(made_up_hands(3))
    arrays[2] = change(arrays)
    with raises_naming(PredictionError, *facts):
        evaluate_hand(*arrays)


def test_samples_that_cannot_be_scored():
    good = data_samples(*made_up_hands(2))
    metric = HandMetric()
    with raises_naming(PredictionError, 'sample 0', 'gt_hand'):
        metric.process({}, [BaseDataElement(metainfo={'img_id': 0}, pred_hand=good[0].pred_hand)])
    good[1].pred_hand.vertices[5, 1] = float('inf')
    with raises_naming(PredictionError, 'sample 1', 'pred_hand.vertices', 'finite'):
        metric.process({}, good)
    good[1].pred_hand.vertices = torch.zeros(10, 3)
    metric.results = []
    metric.process({}, good)
    with raises_naming(PredictionError, 'sample 1', 'pred_hand.vertices', (10, 3), (778, 3)):
        metric.evaluate(2)
    with raises_naming(PredictionError, 'no hands'):
        metric.evaluate(0)
