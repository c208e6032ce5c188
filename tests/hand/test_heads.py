"""Both heads: where they start, what reaches their weights, and the token head's geometry."""

import numpy as np
import pytest
import torch
from torch import nn

from fastvit_dense.hand import Mano, ManoHead, ManoTokenHead, standin_mano
from fastvit_dense.hand.camera import TYPICAL_SCALE
from fastvit_dense.hand.heads import JOINT_OF_TOKEN, SoftArgmax, decode, sample


@pytest.fixture(scope='module')
def mano():
    return Mano(standin_mano())


def maps(batch=2, channels=32):
    generator = torch.manual_seed(0)
    return tuple(torch.randn(batch, channels, s, s, generator=generator) for s in (28, 14, 7))


def build(kind):
    torch.manual_seed(0)
    head = (
        ManoHead(32, 64) if kind == 'pooled' else ManoTokenHead((32, 32, 32), 24, 64, num_heads=4)
    )
    head.init_weights()
    return head


def assert_rotations(matrices):
    eye = torch.eye(3).expand_as(matrices)
    torch.testing.assert_close(matrices @ matrices.mT, eye, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.det(matrices), torch.ones(matrices.shape[:-2]))


@pytest.mark.parametrize('kind', ['pooled', 'tokens'])
def test_starts_near_the_mean_hand_and_gives_rotations(kind, mano):
    head = build(kind).eval()
    stages = head(maps(), mano)
    assert len(stages) == {'pooled': 1, 'tokens': 2}[kind]
    for stage in stages:
        assert stage.global_orient.shape == (2, 3, 3)
        assert stage.hand_pose.shape == (2, 15, 3, 3)
        assert stage.betas.shape == (2, 10)
        assert stage.camera.shape == (2, 3)
        assert_rotations(stage.global_orient)
        assert_rotations(stage.hand_pose)
        assert (stage.hand_pose - mano.mean_pose).abs().max() < 0.4
        assert stage.betas.abs().max() < 0.4
        np.testing.assert_allclose(stage.camera[:, 0].detach(), TYPICAL_SCALE, rtol=0.4)


def test_raw_zeros_are_the_mean_hand(mano):
    found = decode(torch.zeros(1, 109), mano)
    torch.testing.assert_close(found.global_orient[0], torch.eye(3))
    torch.testing.assert_close(found.hand_pose[0], mano.mean_pose, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.camera, torch.tensor([[TYPICAL_SCALE, 0, 0]]))


@pytest.mark.parametrize('kind', ['pooled', 'tokens'])
def test_every_weight_learns_and_no_mano_array_is_saved(kind, mano):
    head = build(kind)
    stages = head(maps(), mano)
    total = sum(x.square().sum() + x.sum() for stage in stages for x in stage if x is not None)
    total.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    sizes = {tuple(t.shape) for t in head.state_dict().values()}
    assert not any(778 in size for size in sizes)


def test_tables_of_joints():
    """FreiHAND: wrist, thumb 1-4, index 5-8, middle 9-12, ring 13-16, little 17-20."""
    assert JOINT_OF_TOKEN == [
        0, 13, 14, 15, 15, 1, 2, 3, 3, 4, 5, 6, 6, 10, 11, 12, 12, 7, 8, 9, 9, 0
    ]  # fmt: skip


def test_soft_argmax_finds_a_peak_at_pixel_centres():
    layer = SoftArgmax(1, 1)
    nn.init.constant_(layer.heat.weight, 1.0)
    nn.init.zeros_(layer.heat.bias)
    features = torch.zeros(1, 1, 4, 8)
    features[0, 0, 1, 6] = 50
    x, y = layer(features)[0, 0].tolist()
    assert (x, y) == pytest.approx(((6.5 / 8) * 2 - 1, (1.5 / 4) * 2 - 1), abs=1e-5)
    # and `sample` reads what stands there
    found = sample(torch.arange(32.0).reshape(1, 1, 4, 8), torch.tensor([[[x, y]]]))
    assert float(found) == pytest.approx(14, abs=1e-3)


def test_token_head_reads_the_map_where_the_joints_are(mano):
    """A change of the fine map at a keypoint changes the prediction, one far away hardly."""
    head = build('tokens').eval()
    nn.init.zeros_(head.keypoints.heat.weight)  # all keypoints in the middle
    nn.init.normal_(head.correct.linear.weight)
    fine, middle, coarse = maps(1)
    near, far = fine.clone(), fine.clone()
    near[:, :, 13:15, 13:15] += 3
    far[:, :, 0, 0] += 3
    with torch.no_grad():
        base, there, elsewhere = (
            head((f, middle, coarse), mano)[0].hand_pose for f in (fine, near, far)
        )
    assert (there - base).abs().max() > 1e-2
    assert (elsewhere - base).abs().max() < 1e-6


@pytest.mark.parametrize('kind', ['pooled', 'tokens'])
def test_exports_to_onnx(kind, mano):
    import io
    import warnings

    onnxruntime = pytest.importorskip('onnxruntime')
    head = build(kind).eval()

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.mano = head, mano

        def forward(self, a, b, c):
            return tuple(self.head((a, b, c), self.mano)[-1])[:4]

    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # torch's notes about its older exporter
        torch.onnx.export(Graph().eval(), maps(1), file, opset_version=17, dynamo=False)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    inputs = maps(1) if kind == 'tokens' else maps(1)[-1:]
    names = [i.name for i in session.get_inputs()]
    given = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    found = session.run(None, given)
    with torch.no_grad():
        expected = head(maps(1), mano)[-1]
    for value, want in zip(found, expected, strict=False):
        np.testing.assert_allclose(value, want, atol=1e-4)
