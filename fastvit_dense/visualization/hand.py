"""Pictures of hands and mesh files; drawn on the CPU, no window system needed.

Points are metres in the OpenCV camera frame, joints in FreiHAND's order, images RGB, pixel
coordinates counted from the outer corner (see `datasets/hand_transforms.py`).
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..hand.camera import project
from ..hand.render import draw_mesh

PANEL = 320  # pixels
MARGIN = 8  # pixels about a hand
MESH_COLOR = (0.65, 0.74, 0.86)
ERROR_RANGE = 20.0  # millimetres: this error and larger ones are drawn in the last colour
FINGERS = {  # in the order of the joints, in FreiHAND's colours
    'thumb': (255, 0, 0),
    'index finger': (255, 255, 0),
    'middle finger': (0, 255, 0),
    'ring finger': (0, 128, 255),
    'little finger': (200, 0, 255),
}
BRIGHTNESS = (0.45, 0.6, 0.8, 1.0)  # from the palm to the tip


def bones() -> list[tuple[int, int, tuple[int, int, int]]]:
    """The 20 bones: joint nearer to the wrist, joint nearer to the tip, RGB colour."""
    return [
        (
            0 if step == 0 else 1 + 4 * finger + step - 1,
            1 + 4 * finger + step,
            (
                round(BRIGHTNESS[step] * red),
                round(BRIGHTNESS[step] * green),
                round(BRIGHTNESS[step] * blue),
            ),
        )
        for finger, (red, green, blue) in enumerate(FINGERS.values())
        for step in range(4)
    ]


def draw_skeleton(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Draw bones and joints.

    Args:
        image: (H, W, 3) uint8.
        uv: (21, 2) pixels. Bones with a joint that is not finite are left out.

    Returns:
        A new image.
    """
    image = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(image.shape[:2]) / 90))
    shift = 4  # sixteenths of a pixel; cv2 counts from the first pixel's centre
    limit = 2**31 / 2**shift / 4
    good = np.isfinite(uv).all(1) & (np.abs(uv) < limit).all(1)
    points = np.round((np.where(good[:, None], uv, 0) - 0.5) * 2**shift).astype(int)
    for start, end, color in bones():
        if good[start] and good[end]:
            cv2.line(
                image, points[start].tolist(), points[end].tolist(), color, thickness,
                cv2.LINE_AA, shift,
            )  # fmt: skip
    colors = [(255, 255, 255)] + [color for _, _, color in bones()]
    for point, color, shown in zip(points.tolist(), colors, good, strict=True):
        if shown:
            cv2.circle(
                image, point, round(1.3 * thickness * 2**shift), color, -1, cv2.LINE_AA, shift
            )
    return image


def draw_joints(image: np.ndarray, uv: np.ndarray) -> Image.Image:
    """Draw bones and joints; a picture that is smaller than a panel is enlarged to it.

    Args:
        image: (H, W, 3) uint8.
        uv: (21, 2) pixels.
    """
    scale = max(1.0, PANEL / max(image.shape[:2]))
    size = [round(scale * side) for side in image.shape[1::-1]]
    enlarged = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return Image.fromarray(draw_skeleton(enlarged, scale * uv))


def draw_overlay(
    image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, K: np.ndarray, opacity: float = 0.9
) -> np.ndarray:
    """Draw the mesh over the image; (H, W, 3) uint8."""
    return draw_mesh(image, vertices, faces, K, MESH_COLOR, opacity)


def draw_side_view(
    vertices: np.ndarray,
    faces: np.ndarray,
    size: int = PANEL,
    angle: float = 90.0,
    colors: np.ndarray | tuple = MESH_COLOR,
) -> np.ndarray:
    """Draw the mesh alone, turned about the vertical axis through its middle and made to fit.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        size: Side of the picture.
        angle: Degrees; 90 shows what a viewer to the right of the camera's line of sight sees.
        colors: (V, 3) or one colour, 0 to 1.

    Returns:
        (size, size, 3) uint8, on white.
    """
    turn = np.deg2rad(angle)
    R = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    centred = (vertices - (vertices.min(0) + vertices.max(0)) / 2) @ R.T
    radius = max(float(np.linalg.norm(centred, axis=1).max()), 1e-6)
    centred = centred / radius + (0, 0, 6)  # a long lens: 6 radii away
    focal = 0.45 * size * 5
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return draw_mesh(np.full((size, size, 3), 255, np.uint8), centred, faces, K, colors)


def vertex_errors(vertices: np.ndarray, true_vertices: np.ndarray) -> np.ndarray:
    """(V,) distances in millimetres after the best rotation, scale and shift."""
    import torch
    from pytorch3d.ops import corresponding_points_alignment

    found, true = (
        torch.as_tensor(np.asarray(v), dtype=torch.float64)[None] for v in (vertices, true_vertices)
    )
    R, T, s = corresponding_points_alignment(found, true, estimate_scale=True)
    aligned = s[:, None, None] * found @ R + T[:, None]
    return 1000 * (aligned - true).norm(dim=-1)[0].numpy()


def error_colors(errors: np.ndarray) -> np.ndarray:
    """RGB in 0 to 1 of errors in millimetres: matplotlib's `turbo`, blue 0, red `ERROR_RANGE`."""
    from matplotlib import colormaps

    return colormaps['turbo'](np.clip(errors / ERROR_RANGE, 0, 1))[..., :3]


def draw_hand(
    image: np.ndarray | None,
    K: np.ndarray,
    joints: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray | None,
    true_vertices: np.ndarray | None = None,
    hand_model: str = '',
) -> Image.Image:
    """Image, skeleton, mesh overlay and side view in a row; with ground truth, the errors too.

    The panels show the whole of a square image of at most 448 pixels, of others a square around
    the hand.

    Args:
        image: (H, W, 3) uint8 RGB; None for white.
        K: (3, 3) pixels, of this image.
        joints: (21, 3).
        vertices: (V, 3).
        faces: (F, 3); None for vertices without known faces: image and skeleton only.
        true_vertices: (V, 3), for the fifth panel.
        hand_model: Written below, such as the name of the stand-in hand.

    Returns:
        The picture, panels of 320 x 320.
    """
    K, joints, vertices = (np.asarray(x, np.float64) for x in (K, joints, vertices))
    if image is None:
        image = np.full((max(1, round(2 * K[1, 2])), max(1, round(2 * K[0, 2])), 3), 255, np.uint8)
    crop, A = _square(image, project(vertices, K))
    K = A @ K
    panels = {'image': crop, 'skeleton': draw_skeleton(crop, project(joints, K))}
    if faces is not None:
        faces = np.asarray(faces)
        panels['mesh'] = draw_overlay(crop, vertices, faces, K)
        panels['from the side'] = draw_side_view(vertices, faces)
    if faces is not None and true_vertices is not None:
        errors = vertex_errors(vertices, true_vertices)
        view = draw_side_view(
            np.asarray(true_vertices), faces, angle=0, colors=error_colors(errors)
        )
        panels[f'error after alignment: mean {errors.mean():.1f} mm (red: {ERROR_RANGE:.0f})'] = (
            view
        )
    row = Image.fromarray(np.concatenate(list(panels.values()), axis=1))
    pen = ImageDraw.Draw(row)
    font = ImageFont.load_default(13)
    write = partial(
        pen.text, font=font, fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0)
    )
    for place, text in enumerate(panels):
        write((place * PANEL + 6, 4), text)
    if hand_model:
        write((6, PANEL - 6), hand_model, anchor='ls')
    return row


def _square(image: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A panel cut from the image, and the affine map (3, 3) from image to panel pixels."""
    from ..datasets.hand_transforms import warp_image

    height, width = image.shape[:2]
    if height == width <= 448:
        resized = cv2.resize(image, (PANEL, PANEL), interpolation=cv2.INTER_LINEAR)
        return resized, np.diag([PANEL / width, PANEL / width, 1.0])
    inside = uv[np.isfinite(uv).all(1)].clip(0, (width, height))
    if not len(inside) or (np.ptp(inside, axis=0) < 2).any():
        inside = np.array([[0, 0], [width, height]])
    low, high = inside.min(0), inside.max(0)
    scale = PANEL / (1.3 * max(high - low))
    A = np.diag([scale, scale, 1.0])
    A[:2, 2] = PANEL / 2 - scale * (low + high) / 2
    return warp_image(image, A, (PANEL, PANEL), border=(128, 128, 128)), A


def save_mesh(path: str | Path, vertices: np.ndarray, faces: np.ndarray) -> Path:
    """Write a mesh file in the coordinates given.

    Args:
        path: Ends in `.obj` or `.ply` (binary).
        vertices: (V, 3).
        faces: (F, 3).

    Returns:
        The path.

    Raises:
        ValueError: Another ending.
    """
    import torch
    from pytorch3d.io import save_obj, save_ply

    path = Path(path)
    mesh = (
        torch.as_tensor(np.asarray(vertices)).float(),
        torch.as_tensor(np.asarray(faces)).long(),
    )
    if path.suffix.lower() == '.obj':
        save_obj(path, *mesh, decimal_places=6)
    elif path.suffix.lower() == '.ply':
        save_ply(path, *mesh)
    else:
        raise ValueError(f'{path}: expected a name that ends in .obj or .ply')
    return path


def draw_over(
    image: np.ndarray, K: np.ndarray, joints: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """Draw mesh and skeleton of one hand over a picture, of which only its part is drawn anew.

    Args:
        image: (H, W, 3) uint8.
        K: (3, 3) of the picture.
        joints: (21, 3).
        vertices: (V, 3).
        faces: (F, 3).

    Returns:
        A new image; where the hand cannot be seen, a copy.
    """
    shown = image.copy()
    uv = project(np.concatenate([vertices, joints]), K)
    uv = uv[np.isfinite(uv).all(1)]
    if not len(uv):
        return shown
    size = image.shape[1::-1]
    low = np.clip(np.floor(uv.min(0)) - MARGIN, 0, size).astype(int)
    high = np.clip(np.ceil(uv.max(0)) + MARGIN, 0, size).astype(int)
    if (high <= low).any():
        return shown
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    moved = K.astype(np.float64).copy()
    moved[:2, 2] -= low
    part = draw_overlay(part, vertices, faces, moved)
    shown[low[1] : high[1], low[0] : high[0]] = draw_skeleton(part, project(joints, moved))
    return shown
