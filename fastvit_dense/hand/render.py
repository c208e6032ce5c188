"""Draw triangle meshes on the CPU with PyTorch3D's rasteriser."""

from typing import NamedTuple

import cv2
import numpy as np

from .camera import project

TILE = 32  # pixels
NEAR = 0.01  # metres

LIGHT = (0.3, -0.5, -0.8)  # towards the light, camera frame: from the right, above, behind us


class Fragments(NamedTuple):
    """The triangle that each pixel sees.

    Attributes:
        face: (H, W) int64, number of the triangle, -1 for none.
        barycentric: (H, W, 3) float32, shares of its corners.
        depth: (H, W) float32, metres along the optical axis, infinity for none.
    """

    face: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


def rasterize(
    vertices: np.ndarray, faces: np.ndarray, K: np.ndarray, size: tuple[int, int]
) -> Fragments:
    """Find the nearest triangle of every pixel.

    PyTorch3D's CPU rasteriser compares every pixel with every triangle (its bins exist on the GPU
    only). Here the image is cut into tiles, and each tile is a small image of its own that is given
    only the triangles near it: the same result, tens of times faster.

    Args:
        vertices: (V, 3) metres, OpenCV camera frame.
        faces: (F, 3) vertex numbers; both sides are seen. Faces nearer than 1 cm are left out.
        K: (3, 3) pixels, corner convention.
        size: (width, height).

    Returns:
        The fragments.
    """
    import torch
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    width, height = size
    vertices = np.asarray(vertices, np.float64)
    z = vertices[:, 2]
    faces = np.asarray(faces, np.int64)
    kept = np.flatnonzero((z[faces] > NEAR).all(1))
    uv = project(np.where(z[:, None] > NEAR, vertices, (0, 0, 1)), K)
    corners = uv[faces[kept]]
    low, high = corners.min(1) / TILE, corners.max(1) / TILE

    columns, rows = -(-width // TILE), -(-height // TILE)
    places, meshes, numbers = [], [], []
    for row in range(rows):
        in_row = (low[:, 1] < row + 1) & (high[:, 1] > row)
        for column in range(columns):
            near = in_row & (low[:, 0] < column + 1) & (high[:, 0] > column)
            if not near.any():
                continue
            local = 1 - 2 * (uv / TILE - (column, row))  # PyTorch3D: x to the left, y up
            used, renamed = np.unique(faces[kept[near]], return_inverse=True)
            meshes.append((np.column_stack([local, z])[used], renamed.reshape(-1, 3)))
            numbers.append(kept[near])
            places.append((row, column))

    face = np.full((rows * TILE, columns * TILE), -1, np.int64)
    barycentric = np.zeros((*face.shape, 3), np.float32)
    depth = np.full(face.shape, np.inf, np.float32)
    if places:
        tiles = Meshes(
            [torch.from_numpy(v.astype(np.float32)) for v, _ in meshes],
            [torch.from_numpy(f) for _, f in meshes],
        )
        found, zbuf, weights, _ = rasterize_meshes(
            tiles, TILE, blur_radius=0.0, faces_per_pixel=1, bin_size=0, perspective_correct=True
        )
        offsets = np.concatenate([[0], np.cumsum([len(n) for n in numbers])])
        packed = np.concatenate(numbers)
        for index, (row, column) in enumerate(places):
            here = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            hit = found[index, ..., 0].numpy()
            seen = hit >= 0
            assert hit.max() < offsets[index + 1], 'a tile sees a face of another'
            face[here][seen] = packed[hit[seen]]
            barycentric[here][seen] = weights[index, ..., 0, :].numpy()[seen]
            depth[here][seen] = zbuf[index, ..., 0].numpy()[seen]
    inside = np.s_[:height, :width]
    return Fragments(face[inside], barycentric[inside], depth[inside])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals: the mean of the normals of the triangles around, weighted by area."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(summed, faces[:, corner], normals)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def shade(
    fragments: Fragments,
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray | tuple[float, float, float],
    light: tuple[float, float, float] | np.ndarray = LIGHT,
    ambient: float = 0.4,
    specular: float = 0.1,
) -> np.ndarray:
    """Blinn-Phong shading with smooth normals under one distant white light.

    Args:
        fragments: Of this mesh.
        vertices: (V, 3) camera space.
        faces: (F, 3).
        colors: (V, 3) or (3,), 0 to 1.
        light: Direction towards the light.
        ambient: Share of the light that comes from everywhere.
        specular: Strength of the highlight.

    Returns:
        (H, W, 3) float32, 0 to 1; 0 where there is no mesh.
    """
    seen = fragments.face >= 0
    corners = faces[fragments.face[seen]]
    weights = fragments.barycentric[seen][..., None]

    def interpolate(values: np.ndarray) -> np.ndarray:
        return (values[corners] * weights).sum(1)

    colors = np.broadcast_to(np.asarray(colors, np.float32), vertices.shape)
    normal = _unit(interpolate(vertex_normals(vertices, faces)))
    view = -_unit(interpolate(vertices))
    normal *= np.sign((normal * view).sum(-1, keepdims=True))  # the back of a face is lit too
    towards = _unit(np.asarray(light, np.float64))
    diffuse = (normal @ towards).clip(0)[:, None]
    gleam = (normal * _unit(towards + view)).sum(-1, keepdims=True).clip(0) ** 20
    image = np.zeros((*seen.shape, 3), np.float32)
    lit = interpolate(colors) * (ambient + (1 - ambient) * diffuse) + specular * gleam
    image[seen] = lit.clip(0, 1)
    return image


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def draw_mesh(
    background: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    K: np.ndarray,
    colors: np.ndarray | tuple[float, float, float],
    opacity: float = 1.0,
    ambient: float = 0.4,
) -> np.ndarray:
    """Draw a mesh over an image, with smooth edges (four samples per pixel).

    Args:
        background: (H, W, 3) uint8, any channel order that `colors` shares.
        vertices: (V, 3), as of `rasterize`.
        faces: (F, 3), as of `rasterize`.
        K: (3, 3), as of `rasterize`.
        colors: (V, 3) or (3,), 0 to 1.
        opacity: Of the mesh, 0 to 1.
        ambient: As `shade`.

    Returns:
        A new (H, W, 3) uint8 image.
    """
    height, width = background.shape[:2]
    finer = np.diag([2.0, 2.0, 1.0]) @ K
    fragments = rasterize(vertices, faces, finer, (2 * width, 2 * height))
    image = shade(fragments, vertices, faces, colors, ambient=ambient)
    mask: np.ndarray = (fragments.face >= 0).astype(np.float32)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)[..., None]
    mixed = background * (1 - opacity * mask) + 255 * opacity * image
    return mixed.clip(0, 255).round().astype(np.uint8)
