"""The MANO layer against an independent float64 computation, joint by joint."""

import io
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fastvit_dense.hand import Mano, standin_mano
from fastvit_dense.hand.mano import PARENTS
from tests.facts import raises_naming

# written out from the FreiHAND and MANO documentation, not taken from the package
MANO_OF_FREIHAND = {
    0: 0, 5: 1, 6: 2, 7: 3, 9: 4, 10: 5, 11: 6, 17: 7, 18: 8, 19: 9, 13: 10, 14: 11, 15: 12,
    1: 13, 2: 14, 3: 15,
}  # fmt: skip
TIP_OF_FREIHAND = {4: 744, 8: 320, 12: 443, 16: 555, 20: 672}


@pytest.fixture(scope='module')
def model():
    return standin_mano()


@pytest.fixture(scope='module')
def mano(model):
    return Mano(model)


def random_pose(batch, seed=0):
    """float64 rotations, betas and translations of arbitrary hands."""
    rng = np.random.default_rng(seed)
    turns = Rotation.random(batch, rng=rng).as_matrix()
    pose = Rotation.from_rotvec(rng.normal(0, 0.6, (batch * 15, 3))).as_matrix()
    betas = rng.normal(0, 1.5, (batch, 10))
    transl = rng.normal((0, 0, 0.7), 0.1, (batch, 3))
    return turns, pose.reshape(batch, 15, 3, 3), betas, transl


def to_torch(arrays, dtype=torch.float32):
    return [torch.tensor(a, dtype=dtype) for a in arrays]


def reference(model, turn, pose, betas, transl):
    """One hand by the equations of MANO, float64, a loop over joints with 4 x 4 matrices."""
    shaped = model.v_template + model.shapedirs @ betas
    joints = model.J_regressor @ shaped
    feature = np.concatenate([(pose[j] - np.eye(3)).ravel() for j in range(15)])
    posed = shaped + model.posedirs @ feature
    world = []
    for joint in range(16):
        local = np.eye(4)
        local[:3, :3] = turn if joint == 0 else pose[joint - 1]
        parent = PARENTS[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if joint else 0)
        world.append(world[parent] @ local if joint else local)
    vertices = np.zeros((778, 3))
    for joint in range(16):
        rest = np.eye(4)
        rest[:3, 3] = -joints[joint]
        moved = (world[joint] @ rest @ np.c_[posed, np.ones(778)].T).T[:, :3]
        vertices += model.weights[:, joint, None] * moved
    vertices = vertices + transl
    regressed = model.J_regressor @ vertices
    freihand = np.zeros((21, 3))
    for k, joint in MANO_OF_FREIHAND.items():
        freihand[k] = regressed[joint]
    for k, vertex in TIP_OF_FREIHAND.items():
        freihand[k] = vertices[vertex]
    return vertices, freihand


def test_equals_a_float64_computation_joint_by_joint(model, mano):
    arrays = random_pose(8)
    out = mano(*to_torch(arrays))
    assert out.vertices.dtype == torch.float32
    for i in range(8):
        vertices, joints = reference(model, *(a[i] for a in arrays))
        np.testing.assert_allclose(out.vertices[i].numpy(), vertices, rtol=0, atol=1e-6)
        np.testing.assert_allclose(out.joints[i].numpy(), joints, rtol=0, atol=1e-6)


def test_rest_pose_gives_the_template_and_its_joints(model, mano):
    eye = torch.eye(3)
    out = mano(eye[None], eye.expand(1, 15, 3, 3), torch.zeros(1, 10))
    np.testing.assert_allclose(out.vertices[0], model.v_template, atol=1e-7)
    np.testing.assert_allclose(out.joints[0, 9], model.J[4], atol=1e-7)
    np.testing.assert_allclose(out.joints[0, 4], model.v_template[744], atol=1e-7)


def test_global_rotation_turns_about_the_wrist_joint(model, mano):
    turns, pose, betas, _ = random_pose(2)
    betas[1] = betas[0]
    pose[1] = pose[0]
    turned, still = turns.copy(), np.tile(np.eye(3), (2, 1, 1))
    out = mano(*to_torch((turned, pose, betas))).vertices.numpy()
    base = mano(*to_torch((still, pose, betas))).vertices.numpy()
    wrist = model.J_regressor[0] @ (model.v_template + model.shapedirs @ betas[0])
    for i in range(2):
        np.testing.assert_allclose(out[i], (base[i] - wrist) @ turns[i].T + wrist, atol=1e-6)


def test_left_hand_is_the_mirror_image(model, mano):
    turns, pose, betas, transl = random_pose(4, seed=1)
    mirror = np.diag([-1.0, 1, 1])
    right = mano(*to_torch((turns, pose, betas, transl)))
    left_hand = Mano(model, side='left')
    left = left_hand(
        *to_torch((mirror @ turns @ mirror, mirror @ pose @ mirror, betas, transl @ mirror))
    )
    flip = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(left.vertices, right.vertices * flip, rtol=0, atol=1e-6)
    torch.testing.assert_close(left.joints, right.joints * flip, rtol=0, atol=1e-6)
    # faces still face outwards: the signed volume keeps its sign
    for hand, out in ((mano, right), (left_hand, left)):
        a, b, c = out.vertices[0][hand.faces].unbind(1)
        assert (torch.cross(a, b, dim=-1) * c).sum() != 0
        centre = out.vertices[0].mean(0)
        assert (torch.cross(a - centre, b - centre, dim=-1) * (c - centre)).sum() > 0


def test_state_dict_is_empty_and_buffers_follow_the_module(model):
    mano = Mano(model)
    assert mano.state_dict() == {}
    assert list(mano.parameters()) == []
    mano.double()
    out = mano(*to_torch(random_pose(1), torch.float64))
    expected = reference(model, *(a[0] for a in random_pose(1)))[0]
    np.testing.assert_allclose(out.vertices[0].numpy(), expected, atol=1e-7)  # buffers were float32


def test_gradients_equal_finite_differences(model):
    mano = Mano(model).double()
    turns, pose, betas, transl = to_torch(random_pose(1), torch.float64)
    inputs = [x.requires_grad_() for x in (turns, pose, betas, transl)]
    weights = torch.randn(21, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    assert torch.autograd.gradcheck(
        lambda *x: (mano(*x).joints * weights).sum(), inputs, fast_mode=True
    )


def test_half_precision_autocast_does_not_touch_the_hand(mano):
    inputs = to_torch(random_pose(2))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = mano(*(x.bfloat16().float() for x in inputs))
    assert out.vertices.dtype == torch.float32
    expected = mano(*(x.bfloat16().float() for x in inputs))
    torch.testing.assert_close(out.vertices, expected.vertices, rtol=0, atol=1e-7)


def test_empty_batch(mano):
    out = mano(torch.zeros(0, 3, 3), torch.zeros(0, 15, 3, 3), torch.zeros(0, 10))
    assert out.vertices.shape == (0, 778, 3)
    assert out.joints.shape == (0, 21, 3)


def test_exported_graph_takes_any_batch(mano):
    batch = torch.export.Dim('batch')
    names = ('global_orient', 'hand_pose', 'betas', 'transl')
    program = torch.export.export(
        mano, tuple(to_torch(random_pose(2))), dynamic_shapes={name: {0: batch} for name in names}
    )
    operators = {str(node.target) for node in program.graph.nodes}
    assert not [name for name in operators if 'linalg' in name]
    inputs = to_torch(random_pose(3, seed=5))
    out, expected = program.module()(*inputs), mano(*inputs)
    torch.testing.assert_close(out.vertices, expected.vertices)
    torch.testing.assert_close(out.joints, expected.joints)


def test_onnx_runtime_gives_the_same_hand(mano):
    onnxruntime = pytest.importorskip('onnxruntime')
    onnx = pytest.importorskip('onnx')
    inputs = to_torch(random_pose(2))
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch's own notes about its older exporter
        torch.onnx.export(
            mano,
            tuple(inputs),
            file,
            input_names=['global_orient', 'hand_pose', 'betas', 'transl'],
            output_names=['vertices', 'joints'],
            opset_version=17,
            dynamo=False,
        )
    kinds = {node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node}
    assert not kinds & {'Loop', 'Scan', 'If'}
    session = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
    names = [i.name for i in session.get_inputs()]
    other = to_torch(random_pose(2, seed=3))
    found = session.run(None, {n: x.numpy() for n, x in zip(names, other, strict=True)})
    expected = mano(*other)
    np.testing.assert_allclose(found[0], expected.vertices, atol=1e-6)
    np.testing.assert_allclose(found[1], expected.joints, atol=1e-6)


def test_smplx_gives_the_same_hand(model, mano):
    smplx = pytest.importorskip('smplx', reason='smplx is not installed (non-commercial licence)')
    from smplx.utils import Struct

    fields = {name: np.asarray(getattr(model, name)) for name in model.__dataclass_fields__}
    fields['kintree_table'] = np.where(model.kintree_table < 0, 2**32 - 1, model.kintree_table)
    layer = smplx.MANOLayer(
        '', data_struct=Struct(**fields), is_rhand=True, use_pca=False, flat_hand_mean=True
    )
    turns, pose, betas, transl = to_torch(random_pose(4, seed=2))
    out = mano(turns, pose, betas, transl)
    other = layer(betas=betas, global_orient=turns[:, None], hand_pose=pose, transl=transl)
    torch.testing.assert_close(out.vertices, other.vertices, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('position', 'name', 'expected', 'shape'),
    [
        (0, 'global_orient', (2, 3, 3), (2, 1, 3, 3)),
        (1, 'hand_pose', (2, 15, 3, 3), (2, 45)),
        (1, 'hand_pose', (2, 15, 3, 3), (1, 15, 3, 3)),
        (3, 'transl', (2, 3), (2, 1, 3)),
    ],
)
def test_wrong_shapes_are_named(mano, position, name, expected, shape):
    inputs = to_torch(random_pose(2))
    inputs[position] = torch.zeros(shape)
    with raises_naming(ValueError, name, expected, 'found', shape):
        mano(*inputs)


def test_unknown_side_and_tree_are_refused(model):
    import dataclasses

    with raises_naming(ValueError, 'side', 'right', 'left', 'found', 'Left'):
        Mano(model, side='Left')
    tree = model.kintree_table.copy()
    tree[0, 7] = 3
    with raises_naming(ValueError, 'kintree_table', PARENTS, 'found', tuple(tree[0].tolist())):
        Mano(dataclasses.replace(model, kintree_table=tree))
