"""The hand of one image: data and mesh files."""

import json

import numpy as np

from fastvit_dense.results.hand import HandResult


def test_hand_as_dict_and_mesh(tmp_path, image):
    """Every number comes back from the JSON; the mesh file holds the vertices in metres."""
    rng = np.random.default_rng(2)
    result = HandResult(
        joints=rng.normal(size=(21, 3)).astype(np.float32),
        vertices=rng.normal(size=(778, 3)).astype(np.float32),
        faces=rng.integers(0, 778, (1538, 3)),
        global_orient=np.eye(3, dtype=np.float32),
        hand_pose=np.tile(np.eye(3, dtype=np.float32), (15, 1, 1)),
        betas=np.zeros(10, np.float32),
        K=np.array([[500.0, 0, 112], [0, 500, 112], [0, 0, 1]]),
        hand_model='stand-in',
        image=image,
    )
    data = json.loads(result.save(tmp_path / 'hand.json').read_text())
    assert data['hand_model'] == 'stand-in'
    for name in ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas', 'K'):
        np.testing.assert_array_equal(
            np.asarray(data[name], getattr(result, name).dtype), getattr(result, name)
        )
    lines = result.save(tmp_path / 'new' / 'hand.obj').read_text().splitlines()
    vertices = [line.split()[1:] for line in lines if line.startswith('v ')]
    np.testing.assert_allclose(np.array(vertices, float), result.vertices, atol=1e-5)
    assert sum(line.startswith('f ') for line in lines) == 1538
