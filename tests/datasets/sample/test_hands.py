import hashlib
import json
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from fastvit_dense.datasets.sample.hands import make_sample_hands, sample_hands
from fastvit_dense.datasets.sample.workspace import workspace
from fastvit_dense.errors import DataError
from fastvit_dense.hand import standin_mano
from fastvit_dense.hand.camera import project
from tests.facts import raises_naming


def digests(tree):
    return {
        str(p.relative_to(tree)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(tree.rglob('*'))
        if p.is_file()
    }


def test_layout(hand_tree):
    files = digests(hand_tree)
    for number in range(48):
        assert f'training/rgb/{number:08d}.jpg' in files
    for number in range(12):
        assert f'training/mask/{number:08d}.jpg' in files
    for number in range(4):
        assert f'evaluation/rgb/{number:08d}.jpg' in files
    for split, count in (('training', 12), ('evaluation', 4)):
        shapes = {'K': (3, 3), 'xyz': (21, 3), 'verts': (778, 3), 'mano': (1, 61), 'scale': ()}
        for field, shape in shapes.items():
            values = json.loads((hand_tree / f'{split}_{field}.json').read_text())
            assert np.array(values).shape == (count, *shape)
    image = cv2.imread(str(hand_tree / 'evaluation' / 'rgb' / '00000000.jpg'))
    assert image.shape == (224, 224, 3)


def test_says_what_it_is(hand_tree):
    assert 'NOT FreiHAND' in (hand_tree / 'README.txt').read_text()
    assert 'stand-in' in (hand_tree / 'README.txt').read_text()
    assert 'not MANO' in json.loads((hand_tree / 'sample.json').read_text())['hand']
    assert 'public domain' in (hand_tree / 'SOURCES.md').read_text()


def test_pictures_fit_the_annotations(hand_tree):
    """The mesh, drawn by OpenCV as filled triangles, covers what the mask says, and the arm."""
    faces = standin_mano().f.astype(int)
    K, verts, xyz = (
        np.array(json.loads((hand_tree / f'training_{f}.json').read_text()))
        for f in ('K', 'verts', 'xyz')
    )
    for index in range(12):
        mask = cv2.imread(str(hand_tree / f'training/mask/{index:08d}.jpg'), cv2.IMREAD_GRAYSCALE)
        corners = project(verts[index], K[index])[faces] - 0.5
        drawn = np.zeros((224, 224), np.uint8)
        for triangle in corners:
            cv2.fillConvexPoly(drawn, np.round(triangle * 16).astype(np.int32), 1, shift=4)
        # cv2 fills the pixels that an edge touches, too
        core = cv2.erode(drawn, np.ones((3, 3))) > 0
        assert core.sum() > 800
        assert (mask[core] > 150).mean() > 0.995
        arm_or_rim = (mask > 150) & (drawn == 0)
        wrist = project(xyz[index][:1], K[index])[0]
        fingers = project(xyz[index][[8, 12, 16, 20]], K[index]).mean(0)
        y, x = np.nonzero(cv2.erode(arm_or_rim.astype(np.uint8), np.ones((3, 3))))
        beyond = (np.stack([x, y], 1) - wrist) @ (wrist - fingers)
        assert (beyond > -15 * np.linalg.norm(wrist - fingers)).all(), 'it lies by the wrist'


def test_versions_share_the_hand_not_the_background(hand_tree):
    mask = cv2.imread(str(hand_tree / 'training/mask/00000002.jpg'), cv2.IMREAD_GRAYSCALE)
    inside = cv2.erode((mask > 150).astype(np.uint8), np.ones((5, 5))) > 0
    outside = cv2.dilate((mask > 150).astype(np.uint8), np.ones((5, 5))) == 0
    images = [
        cv2.imread(str(hand_tree / f'training/rgb/{2 + 12 * v:08d}.jpg')).astype(float)
        for v in range(4)
    ]
    green = images[0][outside].mean(0)
    assert green[1] > 1.5 * max(green[0], green[2])
    for image in images[1:]:
        assert np.abs(image - images[0])[inside].mean() < 6
        assert np.abs(image - images[0])[outside].mean() > 15


def test_hands_are_within_limits():
    hands = sample_hands(300, np.random.default_rng(0))
    assert hands.verts.shape == (300, 778, 3)
    np.testing.assert_allclose(
        hands.scale, np.linalg.norm(hands.xyz[:, 9] - hands.xyz[:, 10], axis=1), atol=1e-12
    )
    assert hands.verts[..., 2].min() > 0.4
    assert hands.verts[..., 2].max() < 1.0
    assert 0.55 < hands.xyz[..., 2].mean() < 0.8
    uv = np.stack([project(x, K) for x, K in zip(hands.xyz, hands.K, strict=True)])
    assert ((uv > 0) & (uv < 224)).all(-1).mean() > 0.99
    sizes = np.ptp(uv, axis=1).max(-1)
    assert sizes.min() > 40
    assert 90 < np.median(sizes) < 150
    offsets = hands.mano[:, 3:48]
    assert np.abs(offsets.mean(0)).max() < 0.25, 'the mean pose is about the mean'
    assert offsets.std(0).max() > 0.3
    assert np.abs(hands.mano[:, 48:58]).max() <= 2.5


def test_backs_are_seen():
    hands = sample_hands(100, np.random.default_rng(0))
    index, little, wrist = hands.xyz[:, 5], hands.xyz[:, 17], hands.xyz[:, 0]
    normal = np.cross(index - wrist, little - wrist)
    # the palm of a right hand: out of the palm is (index - wrist) x (little - wrist)
    facing = (normal * wrist).sum(1) < 0
    assert not facing.any()


def test_same_bytes_whatever_the_workers(tmp_path):
    first = make_sample_hands(tmp_path / 'a', 2, 1, seed=5, workers=0) / 'freihand'
    second = make_sample_hands(tmp_path / 'b', 2, 1, seed=5, workers=2) / 'freihand'
    assert digests(first) == digests(second)
    other = make_sample_hands(tmp_path / 'c', 2, 1, seed=6, workers=0) / 'freihand'
    assert (
        digests(other)['training/rgb/00000000.jpg'] != digests(first)['training/rgb/00000000.jpg']
    )


def test_kept_remade_and_left_alone(tmp_path, monkeypatch):
    tree = make_sample_hands(tmp_path, 1, 1, workers=0) / 'freihand'
    marked = tree / 'mark'
    marked.touch()
    make_sample_hands(tmp_path, 1, 1, workers=0)
    assert marked.exists()

    with monkeypatch.context() as patch:
        patch.setattr(cv2, 'imwrite', lambda *_: False)  # the disk is full
        with raises_naming(DataError, 'mask/00000000.jpg'):
            make_sample_hands(tmp_path, 1, 1, force=True, workers=0)
    assert marked.exists(), 'a failed run changes nothing'
    assert [p.name for p in tmp_path.iterdir()] == ['freihand']

    make_sample_hands(tmp_path, 2, 1, workers=0)
    assert not marked.exists()
    assert (tree / 'training' / 'rgb' / '00000007.jpg').exists()

    (tree / 'sample.json').unlink()
    with raises_naming(DataError, tree, 'sample.json', 'left alone'):
        make_sample_hands(tmp_path, 2, 1, workers=0)
    assert (tree / 'training' / 'rgb' / '00000007.jpg').exists()


def test_folders_of_a_killed_run_are_removed(tmp_path):
    done = subprocess.run([sys.executable, '-c', 'import os; print(os.getpid())'],
                          capture_output=True, text=True, check=True)  # fmt: skip
    with workspace(tmp_path) as running:
        name = running.name.split('-')
        stale = tmp_path / '-'.join([*name[:2], done.stdout.strip(), 'abcd'])
        (stale / 'freihand').mkdir(parents=True)
        make_sample_hands(tmp_path, 1, 1, workers=0)
        assert sorted(tmp_path.iterdir()) == sorted([running, tmp_path / 'freihand'])


@pytest.mark.slow
def test_full_sample_takes_less_than_90_seconds(tmp_path):
    start = time.perf_counter()
    make_sample_hands(tmp_path)
    assert time.perf_counter() - start < 90
