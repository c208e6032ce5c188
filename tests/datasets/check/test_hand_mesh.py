"""MANO numbers that do not give the annotated mesh: the entries, and what they hold instead."""

import numpy as np
import pytest

from fastvit_dense.datasets.check.findings import DatasetReport
from fastvit_dense.datasets.check.hand_mesh import check_mano_mesh
from fastvit_dense.datasets.sample.hands import sample_hands
from fastvit_dense.hand import standin_mano
from tests.facts import assert_names

MODEL = standin_mano()
MIRROR = np.float32([-1, 1, 1])
FLIP = np.r_[np.tile([1, -1, -1], 16), np.ones(13)]


@pytest.fixture(scope='module')
def hands():
    found = sample_hands(24, np.random.default_rng(3))
    return found.mano.astype(np.float32), found.verts.astype(np.float32)


def check(numbers, vertices, **settings):
    report = DatasetReport(['train'])
    check_mano_mesh(numbers, vertices, MODEL, 'training_mano.json', report, **settings)
    return report


def test_right_numbers_give_the_mesh(hands):
    report = check(*hands)
    assert not report.findings
    assert_names(report.notes[0], '24 entries', '0.000 mm', MODEL.name)


def pose(function):
    def changed(numbers):
        numbers = numbers.copy()
        numbers[:, 3:48] = function(numbers[:, 3:48])
        return numbers

    return changed


def degrees(numbers):
    return np.concatenate([np.rad2deg(numbers[:, :48]), numbers[:, 48:]], axis=1)


def thumb_first(values):
    """As FreiHAND's joints: thumb, index, middle, ring, pinky."""
    return values.reshape(-1, 5, 9)[:, [4, 0, 1, 3, 2]].reshape(-1, 45)


MEAN = MODEL.hands_mean
CHANGES = {
    'pca': (pose(lambda p: p @ MODEL.hands_components.T), 'PCA'),
    'full rotations': (pose(lambda p: p + MEAN), 'mean pose is added twice'),
    'mean added twice': (pose(lambda p: p + 2 * MEAN), 'mean pose stands in the pose twice'),
    'mean subtracted twice': (pose(lambda p: p - MEAN), 'subtracted twice'),
    'degrees': (degrees, 'degrees'),
    'betas first': (
        lambda n: np.concatenate([n[:, 48:58], n[:, :48], n[:, 58:]], axis=1),
        'the order betas, rotation, pose, place',
    ),
    'fingers': (pose(thumb_first), 'fingers in the order thumb, index, middle, ring, pinky'),
    'fingers of full rotations': (
        pose(lambda p: thumb_first(p + MEAN)),
        'fingers of full rotations in the order thumb, index, middle, ring, pinky',
    ),
    'shifted': (lambda n: np.roll(n, 1, axis=0), 'shifted by 1: the numbers of entry k belong to '
                'the mesh of entry k - 1'),
    'left numbers': (lambda n: n * FLIP, 'numbers of a left hand'),
    'transposed': (lambda n: n * np.r_[-np.ones(3), np.ones(58)], 'global rotation the other way'),
    'rotation in another frame': (
        lambda n: np.concatenate([n[:, :3] + 0.4, n[:, 3:]], axis=1),
        'global rotation (numbers 0-2) in another frame',
    ),
    'unknown': (lambda n: n + 0.3, 'no likely cause'),
}  # fmt: skip


@pytest.mark.parametrize('change', CHANGES)
def test_likely_cause_of_a_block(hands, change):
    """The second half of the entries is changed; the first one stays right."""
    numbers, vertices = hands
    function, words = CHANGES[change]
    wrong = np.concatenate([numbers[:12], function(numbers[12:].astype(float))]).astype(np.float32)
    if change == 'shifted':
        wrong = function(numbers)
    report = check(wrong, vertices)
    (finding,) = report.findings
    assert (finding.severity, finding.kind) == ('error', 'mano_mesh_mismatch')
    block = 'entries 0-23' if change == 'shifted' else 'entries 12-23'
    assert_names(finding.message, block, 'mm', words, MODEL.name)
    assert not report.notes


@pytest.mark.parametrize(
    ('numbers_too', 'words'),
    [(True, 'a left hand: numbers and vertices'), (False, 'vertices of a left hand')],
)
def test_left_hands(hands, numbers_too, words):
    """Two of them in different places, without a word about the others."""
    numbers, vertices = (array.copy() for array in hands)
    for entry in (2, 7):
        vertices[entry] *= MIRROR
        if numbers_too:
            numbers[entry] *= FLIP
    (finding,) = check(numbers, vertices).findings
    assert_names(finding.message, 'entries 2, 7:', words, '2 of 24')


def test_two_causes_are_told_apart(hands):
    numbers, vertices = (array.copy() for array in hands)
    numbers[3:8] = CHANGES['degrees'][0](numbers[3:8])
    vertices[15] *= MIRROR
    messages = [finding.message for finding in check(numbers, vertices).findings]
    assert len(messages) == 2
    assert_names(messages[0], 'entries 3-7', 'degrees')
    assert_names(messages[1], 'entry 15', 'vertices of a left hand')


def test_a_sample_of_the_entries(hands):
    numbers, vertices = hands
    report = check(CHANGES['pca'][0](numbers), vertices, at_most=4)
    (finding,) = report.findings
    assert_names(finding.message, 'entries 0-23', 'PCA', '4 of 4 entries looked at')
