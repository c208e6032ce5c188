import cv2
import numpy as np
import pytest
import torch

from fastvit_dense.hand import Mano, standin_mano
from fastvit_dense.hand.camera import project
from fastvit_dense.hand.render import draw_mesh, rasterize, shade, vertex_normals

K = np.array([[150.0, 0, 50], [0, 140, 30], [0, 0, 1]])


@pytest.fixture(scope='module')
def hand():
    mano = Mano(standin_mano())
    turn = torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]])
    with torch.no_grad():
        output = mano(turn, torch.eye(3).expand(1, 15, 3, 3), torch.zeros(1, 10))
    vertices = output.vertices[0].double().numpy()
    return vertices - vertices.mean(0) + (0.01, 0.01, 0.4), mano.faces.numpy()


def pytorch3d_fragments(vertices, faces, K, size):
    """The whole image at once, by PyTorch3D's own camera and rasteriser classes."""
    from pytorch3d.renderer import MeshRasterizer, RasterizationSettings
    from pytorch3d.structures import Meshes
    from pytorch3d.utils import cameras_from_opencv_projection

    camera = cameras_from_opencv_projection(
        torch.eye(3)[None],
        torch.zeros(1, 3),
        torch.tensor(K)[None].float(),
        torch.tensor([[size[1], size[0]]]),
    )
    settings = RasterizationSettings(image_size=(size[1], size[0]), bin_size=0)
    mesh = Meshes([torch.tensor(vertices).float()], [torch.tensor(faces)])
    found = MeshRasterizer(camera, settings)(mesh)
    return found.pix_to_face[0, ..., 0].numpy(), found.zbuf[0, ..., 0].numpy()


@pytest.mark.parametrize('size', [(97, 70), (32, 32), (70, 97)])
def test_tiles_change_nothing(hand, size):
    vertices, faces = hand
    camera = K.copy()
    camera[:2, 2] = np.array(size) * 0.45
    found = rasterize(vertices, faces, camera, size)
    face, depth = pytorch3d_fragments(vertices, faces, camera, size)
    assert found.face.shape == found.depth.shape == (size[1], size[0])
    assert found.barycentric.shape == (size[1], size[0], 3)
    seen = (face >= 0) & (found.face >= 0)
    assert seen.sum() > 300
    assert ((face >= 0) != (found.face >= 0)).mean() < 2e-3
    assert (face == found.face).mean() > 0.995
    np.testing.assert_allclose(np.median(np.abs(found.depth[seen] - depth[seen])), 0, atol=1e-6)
    assert np.isinf(found.depth[found.face < 0]).all()


def test_barycentric_coordinates_name_the_point_that_is_seen(hand):
    vertices, faces = hand
    found = rasterize(vertices, faces, K, (100, 60))
    seen = found.face >= 0
    points = (vertices[faces[found.face[seen]]] * found.barycentric[seen][..., None]).sum(1)
    y, x = np.nonzero(seen)
    np.testing.assert_allclose(project(points, K), np.stack([x, y], 1) + 0.5, atol=2e-3)
    np.testing.assert_allclose(points[:, 2], found.depth[seen], atol=1e-5)


def test_nothing_to_see(hand):
    vertices, faces = hand
    for moved in (vertices - (0, 0, 1), vertices - (5, 0, 0)):
        found = rasterize(moved, faces, K, (40, 40))
        assert (found.face == -1).all()
    assert (rasterize(vertices, faces[:0], K, (40, 40)).face == -1).all()
    background = np.full((40, 40, 3), 7, np.uint8)
    moved = draw_mesh(background, vertices - (0, 0, 1), faces, K, (1, 1, 1))
    np.testing.assert_array_equal(moved, background)


def test_nearer_faces_hide_farther_ones():
    """Two squares that overlap, one triangle of each reaching behind the camera is left out."""
    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
    vertices = np.concatenate([square - (0, 0, -3), 0.5 * square + (0, 0, 2), square - (0, 0, 1)])
    faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * i for i in range(3)])
    camera = np.array([[30.0, 0, 32.1], [0, 30, 32.3], [0, 0, 1]])
    depth = rasterize(vertices, faces, camera, (64, 64)).depth
    assert depth[32, 32] == pytest.approx(2)
    assert depth[32, 25] == pytest.approx(2)  # 32 - 30 * 0.5 / 2 = 24.5
    assert depth[32, 23] == pytest.approx(3)
    assert np.isinf(depth[32, 20])  # 32 - 30 / 3 = 22


def test_normals_of_a_sphere_point_outwards():
    from pytorch3d.utils import ico_sphere

    sphere = ico_sphere(3)
    vertices = sphere.verts_packed().double().numpy()
    normals = vertex_normals(vertices, sphere.faces_packed().numpy())
    assert (normals * vertices).sum(1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


@pytest.mark.parametrize('winding', [1, -1])
def test_shading_in_closed_form(winding):
    """A square that faces the camera, lit at an angle: ambient + (1 - ambient) cos, no gleam."""
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])[:, ::winding]
    camera = np.array([[32.0, 0, 16.1], [0, 32, 16.3], [0, 0, 1]])
    found = rasterize(vertices, faces, camera, (32, 32))
    colors = np.array([[0.2, 0.4, 0.8]] * 4)
    light = (np.sin(1.0), 0, -np.cos(1.0))
    image = shade(found, vertices, faces, colors, light, ambient=0.3, specular=0)
    expected = np.array([0.2, 0.4, 0.8]) * (0.3 + 0.7 * np.cos(1.0))
    np.testing.assert_allclose(image[5:27, 5:27], np.broadcast_to(expected, (22, 22, 3)), atol=1e-5)


def test_edges_are_smooth(hand):
    vertices, faces = hand
    image = draw_mesh(np.zeros((60, 100, 3), np.uint8), vertices, faces, K, (1, 1, 1), ambient=1.0)
    values = np.unique(image)
    assert {0, 255} <= set(values.tolist())
    assert ((values > 60) & (values < 200)).any()
    half = draw_mesh(
        np.full((60, 100, 3), 100, np.uint8), vertices, faces, K, (1, 1, 1), 0.5, ambient=1.0
    )
    inside = cv2.erode((image[..., 0] == 255).astype(np.uint8), np.ones((3, 3))) > 0
    assert set(half[inside].ravel().tolist()) <= {177, 178}
