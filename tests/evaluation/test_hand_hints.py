"""Hints at predictions in another unit, about the origin, or in another order of the joints."""

import numpy as np
import pytest

from fastvit_dense.datasets.sample.hands import sample_hands
from fastvit_dense.evaluation import HandMetric, evaluate_hand
from fastvit_dense.evaluation.hand_hints import hints_at, joint_weights
from fastvit_dense.hand.mano import FREIHAND_ORDER
from tests.evaluation.test_hand import data_samples
from tests.facts import assert_names

# FreiHAND's joints in MANO's order, written down once more: wrist, index, middle, pinky, ring and
# thumb without tips, then the tips from the thumb to the pinky
TO_MANO = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
TIP_FIRST = [0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17]


@pytest.fixture(scope='module')
def hands():
    """Joints and vertices of true hands; of other ones, with errors of 5 mm, as predicted."""
    truth, found = (sample_hands(12, np.random.default_rng(seed)) for seed in (0, 1))
    noise = np.random.default_rng(2).normal(0, 0.003, found.xyz.shape)
    return truth.xyz, truth.verts, found.xyz + noise, found.verts


def test_nothing_to_tell(hands):
    xyz, verts, joints, mesh = hands
    assert hints_at(*hands) == []
    assert hints_at(xyz, verts, xyz, verts) == []
    assert hints_at(xyz, verts, joints, mesh[:, :500]) == []
    assert hints_at(xyz, verts, 0 * joints, 0 * mesh) == []


def test_unit(hands):
    xyz, verts, joints, mesh = hands
    for per_metre, words, step in ((100, 'centimetres', 100), (1 / 0.0254, 'inches', 39.37)):
        (hint,) = hints_at(xyz, verts, per_metre * joints, per_metre * mesh)
        assert_names(hint, 'joints and vertices', words, f'divide them by {step}')
    (hint,) = hints_at(xyz, verts, joints, 100 * mesh)
    assert_names(hint, 'the predicted vertices seem to be centimetres')
    assert 'the true joints seem to be centimetres' in hints_at(100 * xyz, verts, joints, mesh)[0]


@pytest.mark.parametrize('root', [0, 9])
def test_root_relative(hands, root):
    xyz, verts, joints, mesh = hands
    place = joints[:, root, None]
    (hint,) = hints_at(xyz, verts, joints - place, mesh - place)
    assert_names(hint, 'joints and vertices', 'root-relative')
    in_centimetres, hint = hints_at(xyz, verts, 100 * (joints - place), 100 * (mesh - place))
    assert_names(in_centimetres, 'centimetres')
    assert_names(hint, 'root-relative')


def test_behind_the_camera(hands):
    """In OpenGL's axes; PA scores are good."""
    xyz, verts, joints, mesh = hands
    turned = np.array([1, -1, -1])
    (hint,) = hints_at(xyz, verts, joints * turned, mesh * turned)
    assert_names(hint, 'joints and vertices', 'behind the camera', 'OpenGL', 'y and z negated')


@pytest.mark.parametrize(
    ('order', 'name'),
    [
        (TO_MANO, "MANO's order"),
        (TIP_FIRST, 'fingers from the tip to the palm'),
        ([0, *range(17, 21), *range(1, 17)], 'another order'),
    ],
)
def test_order_of_the_joints(hands, order, name):
    """The list that the hint gives puts them right."""
    xyz, verts, joints, mesh = hands
    (hint,) = hints_at(xyz, verts, joints[:, order], mesh)
    assert_names(hint, name)
    told = [int(k) for k in hint.partition('joints[:, [')[2].rstrip('])').split(',')]
    np.testing.assert_array_equal(joints[:, order][:, told], joints)
    assert (tuple(told) == FREIHAND_ORDER) == (order == TO_MANO)


def test_joints_are_means_of_vertices(hands):
    xyz, verts, *_ = hands
    weights = joint_weights(xyz[0], verts[0])
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights @ verts[0], xyz[0], atol=1e-9)
    apart = np.linalg.norm(weights @ verts - xyz, axis=-1)  # in other poses
    assert np.median(apart) < 0.003


@pytest.mark.filterwarnings('ignore:[0-9]+ of 12 hands are aligned by a reflection')
def test_scores_stay_and_the_report_tells(hands, logged):
    xyz, verts, joints, mesh = hands
    given = xyz, verts, 100 * joints[:, TO_MANO], 100 * mesh
    metric = HandMetric()
    metric.process({}, data_samples(*given))
    scores = metric.evaluate(len(xyz))
    assert scores == pytest.approx(evaluate_hand(*(np.float32(a) for a in given)))
    assert scores['xyz_mean3d'] > 1000  # cm
    assert_names(metric.result.protocol['hint'], 'centimetres', "MANO's order")
    assert any('centimetres' in message for message in logged)
    metric.process({}, data_samples(*hands))
    metric.evaluate(len(xyz))
    assert 'hint' not in metric.result.protocol
