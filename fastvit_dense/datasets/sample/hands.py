"""A small FreiHAND tree made from the stand-in hand: exact annotations, nothing downloaded.

The stand-in hand (`standin_mano`) in random poses and shapes, with a forearm, skin and light, drawn
over free photographs. For trying every command and for tests: numbers reached on it say nothing of
FreiHAND or MANO.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ...errors import DataError
from ...hand.mano import FINGERTIP_VERTICES, Mano, ManoModel
from ...hand.render import rasterize, shade, vertex_normals
from ...hand.standin import standin_mano
from ..freihand import VERSIONS
from ..freihand_files import annotation_file
from .photos import PHOTOS, photo_sources, read_photo
from .workspace import remove_stale, workspace

VERSION = 2  # a change of the pictures or files: trees of another version are remade
STAMP = 'sample.json'
SIZE = 224
README = """Sample hands
============

Made by fastvit_dense (tools/sample_data.py) in FreiHAND's layout, so that every command for hands
can be tried. This is NOT FreiHAND: the pictures show a procedural stand-in hand, not MANO,
rendered over free photographs (SOURCES.md). Numbers reached on it say nothing of FreiHAND.
"""

SKIN = np.array(
    [(0.94, 0.78, 0.69), (0.86, 0.66, 0.54), (0.74, 0.54, 0.41), (0.55, 0.38, 0.28),
     (0.36, 0.24, 0.18)]
)  # fmt: skip
PALM = np.array((0.95, 0.74, 0.66))
NAIL = np.array((0.96, 0.82, 0.78))
# From MANO's rest frame (fingers to -x, palm to -y, thumb to +z) to the camera's: fingers up, palm
# to the camera.
UPRIGHT = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


@dataclass(frozen=True)
class Hands:
    """N hands to draw: arrays as in FreiHAND's files, and what they came from."""

    K: np.ndarray
    xyz: np.ndarray
    verts: np.ndarray
    mano: np.ndarray
    scale: np.ndarray


def make_sample_hands(
    root: str | Path,
    train: int = 400,
    evaluation: int = 100,
    seed: int = 0,
    force: bool = False,
    workers: int | None = None,
) -> Path:
    """Write `root/freihand`, the same bytes on every run; it appears whole or not at all.

    `train` annotations with four versions of each image (green screen, then three backgrounds) and
    masks, `evaluation` annotations with one. A tree that was made with the same settings is kept.

    Args:
        root: Folder of the sample data, made where absent.
        train: Number of training annotations; there are four times as many images.
        evaluation: Number of evaluation images.
        seed: Of everything random.
        force: Make it again even if it is there.
        workers: Processes that draw; by default one for each core.

    Returns:
        `root` as a Path.

    Raises:
        DataError: A photograph is missing, or `root/freihand` holds other data.
    """
    root = Path(root)
    remove_stale(root)
    tree = root / 'freihand'
    stamp = {'made_by': 'tools/sample_data.py', 'hand': 'stand-in, not MANO', 'version': VERSION,
             'train': train, 'evaluation': evaluation, 'seed': seed}  # fmt: skip
    if _up_to_date(tree, stamp) and not force:
        return root
    workers = min(os.cpu_count() or 1, 16) if workers is None else workers
    with workspace(root) as folder:
        made = folder / 'freihand'
        for number, (split, count) in enumerate((('training', train), ('evaluation', evaluation))):
            _write_split(made, split, count, (seed, number), workers)
        (made / 'README.txt').write_text(README)
        (made / 'SOURCES.md').write_text(f'# Photographs\n\n{photo_sources()}')
        (made / STAMP).write_text(json.dumps(stamp))
        if tree.exists():
            tree.rename(folder / 'old')
        try:
            made.rename(tree)
        except OSError:
            # another process, a rank of the same training perhaps, was faster: its bytes are ours
            if not _up_to_date(tree, stamp):
                raise
    return root


def _up_to_date(tree: Path, stamp: dict) -> bool:
    if not tree.exists():
        return False
    try:
        found = json.loads((tree / STAMP).read_text())
    except (OSError, ValueError):
        raise DataError(
            f'{tree}: expected a folder of sample data with the file {STAMP}, found other data; '
            'it is left alone: choose another folder for the sample data'
        ) from None
    return found == stamp


def _write_split(tree: Path, split: str, count: int, key: tuple[int, int], workers: int) -> None:
    folders = {'training': ('rgb', 'mask'), 'evaluation': ('rgb',)}[split]
    for folder in folders:
        (tree / split / folder).mkdir(parents=True, exist_ok=True)
    hands = sample_hands(count, np.random.default_rng(key))
    for field in ('K', 'xyz', 'verts', 'mano', 'scale'):
        values = np.round(getattr(hands, field).astype(np.float64), 8).tolist()
        if field == 'mano':
            values = [[v] for v in values]
        annotation_file(tree / split, field).write_text(json.dumps(values))
    pictures = _Pictures(hands, tree / split, key)
    for _ in DataLoader(pictures, batch_size=4, num_workers=workers, collate_fn=list):
        pass


def sample_hands(count: int, rng: np.random.Generator, model: ManoModel | None = None) -> Hands:
    """Random hands before random cameras.

    Poses are those of the model's scans, mixed finger by finger; the back of the hand to the camera
    within 30 degrees, fingers roughly up, 0.5 to 0.65 m away, about the middle of the image.

    Args:
        count: N.
        rng: Source of randomness.
        model: The hand; by default the stand-in.

    Returns:
        The hands.
    """
    from pytorch3d.transforms import axis_angle_to_matrix, matrix_to_axis_angle

    from ...hand.rotations import pose_to_matrix

    model = model or standin_mano()
    scans = (model.hands_mean + model.hands_coeffs @ model.hands_components).reshape(-1, 5, 3, 3)
    whole = rng.integers(len(scans), size=(count, 1))
    own = rng.integers(len(scans), size=(count, 5))
    chosen = np.where(rng.random((count, 5)) < 0.3, own, whole)
    pose = scans[chosen, np.arange(5)] + rng.normal(0, 0.03, (count, 5, 3, 3))
    offsets = pose.reshape(count, 45) - model.hands_mean
    betas = rng.normal(0, 1, (count, 10)).clip(-2.5, 2.5)

    def turns(axis: int, angles: np.ndarray) -> np.ndarray:
        vectors = np.zeros((count, 3))
        vectors[:, axis] = angles
        return axis_angle_to_matrix(torch.from_numpy(vectors)).numpy()

    # 400 hands teach fingers only where the directions they are seen from lie close together
    yaw = np.pi + np.deg2rad(rng.uniform(-30, 30, count))
    pitch = np.deg2rad(rng.uniform(-20, 20, count))
    roll = np.deg2rad(rng.normal(0, 12, count))
    orient = turns(2, roll) @ turns(0, pitch) @ turns(1, yaw) @ UPRIGHT

    focal = rng.uniform(430, 530, count)
    K = np.zeros((count, 3, 3))
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = focal, focal * rng.normal(1, 0.0005, count), 1
    K[:, :2, 2] = SIZE / 2
    depth = rng.uniform(0.5, 0.65, count)
    middle = np.concatenate([SIZE / 2 + rng.uniform(-12, 12, (count, 2)), np.ones((count, 1))], 1)
    place = depth[:, None] * (np.linalg.inv(K) @ middle[..., None])[..., 0]

    verts, xyz = [], []
    mano = Mano(model)
    rotations = pose_to_matrix(torch.from_numpy(offsets), 'freihand', model)
    for part in np.array_split(np.arange(count), -(-count // 256) or 1):
        inputs = (orient[part], rotations[part].numpy(), betas[part])
        output = mano(*(torch.from_numpy(np.ascontiguousarray(x)).float() for x in inputs))
        shift = place[part] - output.joints.mean(1).double().numpy()
        verts.append(output.vertices.double().numpy() + shift[:, None])
        xyz.append(output.joints.double().numpy() + shift[:, None])
    xyz, verts = np.concatenate(xyz), np.concatenate(verts)

    root = (xyz[:, 9, None] @ np.swapaxes(K, 1, 2))[:, 0]
    pixels_per_metre = (K[:, 0, 0] + K[:, 1, 1]) / 2 / root[:, 2]
    numbers = [
        matrix_to_axis_angle(torch.from_numpy(orient)).numpy(),
        offsets,
        betas,
        root[:, :2] / root[:, 2:],
        pixels_per_metre[:, None],
    ]
    scale = np.linalg.norm(xyz[:, 9] - xyz[:, 10], axis=-1)
    return Hands(K, xyz, verts, np.concatenate(numbers, axis=1), scale)


class _Pictures(Dataset):
    """Draw and write the pictures of one hand each; a dataset only to use a loader's workers."""

    def __init__(self, hands: Hands, folder: Path, key: tuple[int, int]) -> None:
        self.hands = hands
        self.folder = folder
        self.key = key
        self.skin = Skin(standin_mano())
        self.photos = [read_photo(photo.name) for photo in PHOTOS]

    def __len__(self) -> int:
        return len(self.hands.K)

    def __getitem__(self, index: int) -> None:
        cv2.setNumThreads(0)
        rng = np.random.default_rng((*self.key, index))
        color, alpha = self.skin.draw(self.hands.verts[index], self.hands.K[index], rng)
        if self.folder.name == 'evaluation':
            behind = _photo_background(self.photos, rng)
            self._write('rgb', index, _compose(color, alpha, behind, rng))
            return
        self._write('mask', index, (255 * alpha).astype(np.uint8))
        for number, version in enumerate(VERSIONS):
            if version == 'gs':
                behind = _green_background(rng)
            else:
                behind = _photo_background(self.photos, rng)
            image = _compose(color, alpha, behind, rng)
            self._write('rgb', index + len(self) * number, image)

    def _write(self, folder: str, number: int, image: np.ndarray) -> None:
        path = self.folder / folder / f'{number:08d}.jpg'
        if not cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image):
            raise DataError(f'{path}: cannot be written')


class Skin:
    """Draw posed hands with a forearm in the colours of skin."""

    RINGS = 5

    def __init__(self, model: ManoModel) -> None:
        self.rest = model.v_template
        self.loop = _boundary_loop(model.f.astype(np.int64))
        self.faces = np.concatenate([model.f.astype(np.int64), self._arm_faces()])
        normals = vertex_normals(self.rest, model.f.astype(np.int64))
        self.palm = (-normals[:, 1] * 1.5).clip(0, 1)[:, None]
        tips = self.rest[list(FINGERTIP_VERTICES)]
        near = np.linalg.norm(self.rest[:, None] - tips, axis=-1).min(1) < 0.012
        self.nail = (near & (normals[:, 1] > 0.3))[:, None]

    def _arm_faces(self) -> np.ndarray:
        count = len(self.loop)
        rings = np.concatenate([self.loop, 778 + np.arange(self.RINGS * count)]).reshape(-1, count)
        a, b = rings[:-1], rings[1:]
        following = [np.roll(ring, -1, axis=1) for ring in (a, b)]
        triangles = [(following[0], a, b), (following[1], following[0], b)]
        return np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in triangles])

    def _arm(self, vertices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        loop = vertices[self.loop]
        centre = loop.mean(0)
        along = centre - vertices.mean(0)
        along = along / np.linalg.norm(along) + rng.normal(0, 0.15, 3)
        steps = np.linspace(0, 0.35, self.RINGS + 1)[1:, None, None]
        wider = 1 + 1.2 * steps
        return (centre + along * steps + wider * (loop - centre)).reshape(-1, 3)

    def _colors(self, rng: np.random.Generator) -> np.ndarray:
        tone = rng.uniform(0, len(SKIN) - 1)
        base = SKIN[int(tone)] + (tone % 1) * (
            SKIN[min(int(tone) + 1, len(SKIN) - 1)] - SKIN[int(tone)]
        )
        base = base * rng.uniform(0.92, 1.08) * rng.uniform(0.97, 1.03, 3)
        skin = base + 0.35 * self.palm * (PALM - base)
        waves = rng.normal(0, 60, (3, 12))
        blotches = np.sin(self.rest @ waves + rng.uniform(0, 6.3, 12)).mean(1, keepdims=True)
        skin = skin * (1 + 0.12 * blotches)
        skin = np.where(self.nail, 0.5 * skin + 0.5 * NAIL, skin)
        arm = np.tile(base, (self.RINGS, len(self.loop), 1))
        if rng.random() < 0.5:
            arm[int(rng.integers(1, 3)) :] = rng.uniform(0.05, 0.9, 3)  # a sleeve
        return np.concatenate([skin, arm.reshape(-1, 3)]).clip(0, 1)

    def draw(
        self, vertices: np.ndarray, K: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one hand under a random light.

        Args:
            vertices: (778, 3) camera space, metres.
            K: (3, 3) pixels.
            rng: Colours and light.

        Returns:
            (224, 224, 3) colours, 0 to 255, multiplied with alpha, and (224, 224) alpha, 0 to 1.
        """
        vertices = np.concatenate([vertices, self._arm(vertices, rng)])
        light = np.array([rng.normal(0, 0.8), -abs(rng.normal(0.4, 0.4)), -rng.uniform(0.3, 1)])
        finer = np.diag([2.0, 2, 1]) @ K
        fragments = rasterize(vertices, self.faces, finer, (2 * SIZE, 2 * SIZE))
        color = shade(
            fragments, vertices, self.faces, self._colors(rng), light,
            ambient=rng.uniform(0.3, 0.6), specular=rng.uniform(0.02, 0.15),
        )  # fmt: skip
        alpha = (fragments.face >= 0).astype(np.float32)
        tint = rng.uniform(0.85, 1.1) * rng.uniform(0.96, 1.04, 3)
        color = (255 * color * tint).clip(0, 255)
        smaller = [
            cv2.resize(x, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for x in (color, alpha)
        ]
        return smaller[0], smaller[1]


def _boundary_loop(faces: np.ndarray) -> np.ndarray:
    """The vertices of the open wrist in order, along the direction of the triangles' edges."""
    edges = {(int(a), int(b)) for f in faces for a, b in zip(f, np.roll(f, -1), strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    return np.array(loop)


def _green_background(rng: np.random.Generator) -> np.ndarray:
    color = np.array((40, 150, 70)) * rng.uniform(0.8, 1.2)
    corners = rng.uniform(0.75, 1.1, (2, 2)).astype(np.float32)
    return color * cv2.resize(corners, (SIZE, SIZE))[..., None]


def _photo_background(photos: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random square of a random photograph."""
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    side = int(min(height, width) * rng.uniform(0.35, 1))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    patch = photo[y : y + side, x : x + side]
    patch = cv2.resize(patch, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    patch = patch * rng.uniform(0.6, 1.2) * rng.uniform(0.9, 1.1, 3)
    return cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.3, 1.5))


def _compose(
    color: np.ndarray, alpha: np.ndarray, behind: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    image = color + (1 - alpha[..., None]) * behind
    noise = rng.standard_normal(image.shape, np.float32) * rng.uniform(1, 4)
    return (image + noise).clip(0, 255).round().astype(np.uint8)
