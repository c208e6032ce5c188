"""Joints that are not those of the annotated mesh: the entries, and what they hold instead."""

import numpy as np
import pytest

from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.datasets.check.hand_joints import check_joints
from fastvit_dense.datasets.sample.hands import sample_hands
from fastvit_dense.hand import standin_mano
from tests.evaluation.test_hand_hints import TIP_FIRST, TO_MANO
from tests.facts import assert_names

MODEL = standin_mano()
NOISE = np.random.default_rng(0).normal(0, 0.03, (21, 3))
PINKY_FIRST = [0, *range(17, 21), *range(1, 17)]


@pytest.fixture(scope='module')
def hands():
    found = sample_hands(24, np.random.default_rng(3))
    return found.xyz.astype(np.float32), found.verts.astype(np.float32)


def check(xyz, vertices, model=MODEL, **settings):
    report = DatasetReport(['train'])
    check_joints(xyz, vertices, model, 'training', report, **settings)
    return list(report.findings)


@pytest.mark.parametrize('model', [MODEL, None])
def test_the_joints_of_the_mesh(hands, model):
    assert check(*hands, model) == []


CHANGES = {
    "MANO's order": (lambda xyz: xyz[:, TO_MANO], "joints in MANO's order"),
    'tips first': (lambda xyz: xyz[:, TIP_FIRST], 'fingers from the tip to the palm'),
    'mirrored': (lambda xyz: xyz * [-1, 1, 1], 'xyz holds (-x, y, z) of verts, a mirror image'),
    'upside down': (lambda xyz: xyz * [1, -1, 1], 'xyz holds (x, -y, z) of verts, a mirror image'),
    'exchanged': (lambda xyz: xyz[..., [1, 0, 2]], 'xyz holds (y, x, z) of verts, a mirror image'),
    'cyclic': (lambda xyz: xyz[..., [1, 2, 0]], 'xyz holds (y, z, x) of verts'),
    'OpenGL': (lambda xyz: xyz * [1, -1, -1], 'xyz holds (x, -y, -z) of verts'),
    'root-relative': (lambda xyz: xyz - xyz[:, 9:10], 'different origins'),
    'shifted': (lambda xyz: np.roll(xyz, 1, axis=0), 'shifted by 1: the joints of entry k belong '
                'to the mesh of entry k - 1'),
    'unknown': (lambda xyz: xyz + NOISE, 'no likely cause'),
}  # fmt: skip


@pytest.mark.parametrize('model', [MODEL, None])
@pytest.mark.parametrize('change', CHANGES)
def test_likely_cause_of_a_block(hands, change, model):
    """The second half of the entries is changed; the first one stays right."""
    xyz, vertices = hands
    function, words = CHANGES[change]
    wrong = np.concatenate([xyz[:12], function(xyz[12:])])
    block = 'entries 12-23'
    if change == 'shifted':
        wrong, block = function(xyz), 'entries 0-23'
    (finding,) = check(wrong, vertices, model)
    assert (finding.severity, finding.kind) == ('error', 'joint_mismatch')
    by = MODEL.name if model else 'by the fingertips'
    assert_names(str(finding), 'training_xyz.json', block, 'mm', words, by)


def test_an_order_that_has_no_name(hands):
    """The list in the message puts the joints right."""
    xyz, vertices = hands
    (finding,) = check(xyz[:, PINKY_FIRST], vertices)
    told = finding.message.partition('xyz[:, [')[2].partition(']')[0].split(',')
    np.testing.assert_array_equal(xyz[:, PINKY_FIRST][:, list(map(int, told))], xyz)


def test_two_causes_are_told_apart(hands):
    xyz, vertices = (array.copy() for array in hands)
    xyz[3:8] = xyz[3:8][:, TO_MANO]
    xyz[15] *= np.float32([-1, 1, 1])
    first, second = check(xyz, vertices)
    assert_names(first.message, 'entries 3-7', "MANO's order", '5 of 24')
    assert_names(second.message, 'entry 15', 'mirror image')


@pytest.mark.parametrize('model', [MODEL, None])
def test_other_fingertips_are_a_warning(hands, model):
    """Neighbours of FreiHAND's vertices, 4 mm away, as other code bases take them."""
    xyz, vertices = (array.copy() for array in hands)
    xyz[2:, 4::4] += np.float32([0.002, 0, 0.0035])
    (finding,) = check(xyz, vertices, model)
    assert (finding.severity, finding.kind) == ('warning', 'fingertips')
    assert_names(finding.message, 'vertices 744 320 443 555 672', '22 of 24', 'first entry 2')


def test_a_sample_of_the_entries(hands):
    xyz, vertices = hands
    (finding,) = check(xyz[:, TO_MANO], vertices, at_most=4)
    assert_names(finding.message, 'entries 0-23', "MANO's order", '4 of 4 entries looked at')
