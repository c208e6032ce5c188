"""HandMeshRegressor: modes, geometry of its predictions, what its checkpoint holds, bad input."""

import io
import logging

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from scipy.spatial.transform import Rotation

import fastvit_dense  # noqa: F401  (registers the types)
from fastvit_dense.errors import ConfigError, DataError, MissingFileError
from fastvit_dense.hand import Mano, save_npz, standin_mano
from fastvit_dense.hand.camera import assumed_camera, project
from fastvit_dense.hand.regressor import undo_roll
from tests.facts import raises_naming

WIDTH = 64
K = np.array([[140.0, 0, 32], [0, 140, 32], [0, 0, 1]], np.float32)
TOKENS = dict(
    backbone=dict(type='FastViT', arch='t8', out_indices=(1, 2, 3)),
    head=dict(
        type='ManoTokenHead',
        in_channels=(96, 192, 384),
        channels=32,
        hidden_channels=64,
        num_heads=4,
    ),
)
POOLED = dict(
    backbone=dict(type='FastViT', arch='t8', out_indices=(3,)),
    head=dict(type='ManoHead', in_channels=384, hidden_channels=64),
)


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.INFO)  # mmengine lists every initialised parameter
    yield
    logging.disable(logging.NOTSET)


def build(parts, **settings):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='HandMeshRegressor',
            mano=dict(standin=True),
            data_preprocessor=dict(
                type='ImgDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
            ),
            **parts,
            **settings,
        )
    )
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def mano():
    return Mano(standin_mano())


def batch(mano, size=2, seed=0):
    """Images of noise with true hands."""
    rng = np.random.default_rng(seed)
    turn = torch.tensor(Rotation.random(size, rng=rng).as_matrix(), dtype=torch.float32)
    pose = mano.mean_pose.expand(size, 15, 3, 3)
    betas = torch.tensor(rng.normal(size=(size, 10)), dtype=torch.float32)
    out = mano(turn, pose, betas, torch.tensor([[0.0, 0, 0.7]]).expand(size, 3))
    samples = []
    for i in range(size):
        sample = BaseDataElement(metainfo=dict(K=K, scale=0.03 + 0.01 * i, img_path=f'{i}.jpg'))
        sample.gt_hand = BaseDataElement(
            joints=out.joints[i], vertices=out.vertices[i], global_orient=turn[i],
            hand_pose=pose[i], betas=betas[i],
        )  # fmt: skip
        samples.append(sample)
    pixels = rng.integers(0, 256, (size, 3, WIDTH, WIDTH), dtype=np.uint8)
    return dict(inputs=[torch.from_numpy(p) for p in pixels], data_samples=samples)


@pytest.mark.parametrize('parts', [POOLED, TOKENS], ids=['pooled', 'tokens'])
def test_losses_train_every_part(parts, mano):
    model = build(parts).train()
    data = model.data_preprocessor(batch(mano), True)
    losses = model(**data, mode='loss')
    kinds = ('vertices', 'joints', 'orientation', 'reprojection', 'rotation', 'betas')
    names = {f'loss_{kind}' for kind in kinds}
    if parts is TOKENS:
        names |= {f'stage0.{name}' for name in names} | {'loss_keypoints'}
    assert set(losses) == names
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, sum(losses.values()))
    total.backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    assert not unused
    assert 'loss' in logged


@pytest.mark.parametrize('parts', [POOLED, TOKENS], ids=['pooled', 'tokens'])
def test_predictions_are_the_hand_of_their_parameters(parts, mano):
    model = build(parts).eval()
    with torch.no_grad():
        samples = model.test_step(batch(mano))
    assert len(samples) == 2
    for sample in samples:
        hand = sample.pred_hand
        assert hand.joints.shape == (21, 3)
        assert hand.vertices.shape == (778, 3)
        out = mano(*(getattr(hand, n)[None] for n in
                     ('global_orient', 'hand_pose', 'betas', 'transl')))  # fmt: skip
        torch.testing.assert_close(out.vertices[0], hand.vertices, rtol=0, atol=1e-6)
        torch.testing.assert_close(out.joints[0], hand.joints, rtol=0, atol=1e-6)
        assert 0.05 < hand.joints[:, 2].mean() < 3


def test_predicted_root_projects_to_the_predicted_place(mano):
    model = build(POOLED).eval()
    data = model.data_preprocessor(batch(mano), False)
    with torch.no_grad():
        parameters = model(data['inputs'])  # mode 'tensor'
        samples = model(**data, mode='predict')
    for i, sample in enumerate(samples):
        pixel = project(sample.pred_hand.joints[None, 9:10], torch.from_numpy(K)[None])[0, 0]
        place = (parameters.camera[i, 1:] + 1) * WIDTH / 2
        torch.testing.assert_close(pixel, place, rtol=0, atol=1e-3)
        depth = 140 / (parameters.camera[i, 0] * WIDTH / 2)
        torch.testing.assert_close(sample.pred_hand.joints[9, 2], depth)


def test_known_scale_gives_true_size_and_the_same_picture(mano):
    free, known = build(POOLED).eval(), build(POOLED, use_scale=True).eval()
    known.load_state_dict(free.state_dict())
    with torch.no_grad():
        a, b = free.test_step(batch(mano)), known.test_step(batch(mano))
    for one, two in zip(a, b, strict=True):
        bone = (two.pred_hand.joints[9] - two.pred_hand.joints[10]).norm()
        assert float(bone) == pytest.approx(two.metainfo['scale'], rel=1e-5)
        pixels = [
            project(s.pred_hand.vertices[None], torch.from_numpy(K)[None]) for s in (one, two)
        ]
        torch.testing.assert_close(*pixels, rtol=1e-4, atol=1e-3)
        assert 'transl' not in two.pred_hand


@pytest.mark.parametrize('mirrored', [False, True])
def test_predictions_return_to_the_original_camera(mirrored, mano):
    """Turned (or mirrored and turned) input: points come back, parameters give them again."""
    rng = np.random.default_rng(0)
    roll = Rotation.from_rotvec([0, 0, 0.7]).as_matrix() @ np.diag([-1.0 if mirrored else 1, 1, 1])
    roll = torch.tensor(roll, dtype=torch.float32)
    turn = torch.tensor(Rotation.random(rng=rng).as_matrix(), dtype=torch.float32)
    pose, betas = mano.mean_pose, torch.tensor(rng.normal(size=10), dtype=torch.float32)
    transl = torch.tensor([0.1, -0.05, 0.6])
    out = mano(turn[None], pose[None], betas[None], transl[None])
    found = dict(vertices=out.vertices[0], joints=out.joints[0], transl=transl,
                 global_orient=turn, hand_pose=pose, betas=betas)  # fmt: skip
    back = undo_roll(found, mano.wrist(betas[None])[0], roll)
    # input = roll @ original, point by point
    torch.testing.assert_close(back['vertices'] @ roll.T, out.vertices[0], rtol=0, atol=1e-6)
    layer = Mano(standin_mano(), side='left' if mirrored else 'right')
    again = layer(*(back[n][None] for n in ('global_orient', 'hand_pose', 'betas', 'transl')))
    torch.testing.assert_close(again.vertices[0], back['vertices'], rtol=0, atol=1e-6)
    torch.testing.assert_close(again.joints[0], back['joints'], rtol=0, atol=1e-6)


def test_camera_roll_in_the_sample_is_undone(mano):
    model = build(POOLED).eval()
    plain, rolled = batch(mano), batch(mano)
    turn = Rotation.from_rotvec([0, 0, 1.0]).as_matrix()
    for sample in rolled['data_samples']:
        sample.set_metainfo(dict(camera_roll=turn))
    with torch.no_grad():
        a, b = model.test_step(plain), model.test_step(rolled)
    for one, two in zip(a, b, strict=True):
        expected = one.pred_hand.joints @ torch.tensor(turn, dtype=torch.float32)
        torch.testing.assert_close(two.pred_hand.joints, expected)


@pytest.mark.parametrize('mirrored', [False, True])
def test_the_side_that_the_parameters_describe(mirrored, mano):
    """A left hand that was mirrored for the model comes back as one, whatever it was called."""
    model, data = build(POOLED).eval(), batch(mano)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(is_right=True))
        if mirrored:
            sample.set_metainfo(dict(camera_roll=np.diag([-1.0, 1, 1])))
    with torch.no_grad():
        for sample in model.test_step(data):
            assert sample.metainfo['is_right'] is not mirrored


def test_without_a_camera_one_is_assumed_and_noted(mano):
    model = build(POOLED).eval()
    data = batch(mano)
    data['data_samples'] = [BaseDataElement(metainfo=dict(img_path='x.jpg')) for _ in range(2)]
    with torch.no_grad():
        samples = model.test_step(data)
    for sample in samples:
        assert sample.metainfo['K_assumed'] is True
        np.testing.assert_array_equal(sample.metainfo['K'], assumed_camera(WIDTH))
        assert torch.isfinite(sample.pred_hand.vertices).all()


def test_checkpoint_holds_nothing_of_mano(mano):
    model = build(TOKENS)
    state = model.state_dict()
    assert not [name for name in state if 'mano' in name]
    arrays = [b for b in model.mano.buffers() if b.is_floating_point()]
    for name, tensor in state.items():
        for array in arrays:
            assert tensor.shape != array.shape or not torch.equal(tensor, array), name
    file = io.BytesIO()
    torch.save(state, file)
    other = build(TOKENS)
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))


def test_annotations_without_rotations_train_all_the_same(mano):
    model = build(POOLED).train()
    data = batch(mano)
    del data['data_samples'][1].gt_hand.hand_pose
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert 'loss_vertices' in losses
    assert 'loss_rotation' in losses  # of the global rotation alone


@pytest.mark.parametrize(
    ('change', 'facts'),
    [
        (lambda s: delattr(s, 'gt_hand'), ['gt_hand', 'missing', 'joints', 'vertices']),
        (lambda s: delattr(s.gt_hand, 'vertices'), ['gt_hand', 'missing vertices']),
        (lambda s: s.set_metainfo(dict(is_right=False)), ['is_right', 'RandomHandFlip(prob=1)']),
        (
            lambda s: s.set_metainfo(dict(K=np.zeros((3, 3)))),
            ['K', '0 0 1', 'found', [0.0, 0.0, 0.0]],
        ),
        (lambda s: s.set_metainfo(dict(K=np.eye(2))), ['K', '3 x 3', 'found', (2, 2)]),
        (
            lambda s: s.set_metainfo(dict(K=np.diag([0.0, 1, 1]))),
            ['K', 'invertible', 'found', 'singular'],
        ),
    ],
)
def test_bad_samples_are_named(change, facts, mano):
    model = build(POOLED)
    data = model.data_preprocessor(batch(mano), True)
    change(data['data_samples'][0])
    with raises_naming(DataError, '0.jpg', *facts):
        model(**data, mode='loss')


def test_bad_arguments_are_named(mano, tmp_path):
    model = build(POOLED)
    with raises_naming(ValueError, 'mode', 'loss', 'predict', 'tensor', 'found', 'losses'):
        model(torch.zeros(1, 3, 64, 64), mode='losses')
    with raises_naming(DataError, 'inputs', 'square', 'found', (64, 96)):
        model(torch.zeros(1, 3, 64, 96))
    data = build(POOLED, use_scale=True).eval()
    samples = batch(mano)
    samples['data_samples'][0].set_metainfo(dict(scale=None))
    with raises_naming(DataError, '0.jpg', 'scale', 'use_scale', 'found', None), torch.no_grad():
        data.test_step(samples)
    for wrong in (dict(), dict(standin=True, path='x.pkl'), dict(file='x.pkl'), 'x.pkl'):
        with raises_naming(ConfigError, 'mano', 'dict(path=', 'dict(standin=True)', 'found', wrong):
            MODELS.build(dict(type='HandMeshRegressor', mano=wrong, **POOLED))
    with raises_naming(MissingFileError, tmp_path / 'MANO_RIGHT.pkl'):
        MODELS.build(
            dict(
                type='HandMeshRegressor', mano=dict(path=str(tmp_path / 'MANO_RIGHT.pkl')), **POOLED
            )
        )
    save_npz(standin_mano(), tmp_path / 'hand.npz')
    built = MODELS.build(
        dict(type='HandMeshRegressor', mano=dict(path=str(tmp_path / 'hand.npz')), **POOLED)
    )
    assert built.mano.is_standin
