"""FreiHAND's MANO numbers laid over the annotated vertices: do they give the same hand?

Where they do not, other readings of the numbers are tried; one that gives the mesh tells what the
annotation holds instead.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ...hand.mano import Mano, ManoModel
from ...hand.rotations import pose_to_matrix
from ..spread import spread
from .findings import DatasetReport
from .hand_overlay import SHIFTS, Hypothesis, Overlay, centred, shift_words

TOLERANCE = 0.003  # metres, mean over the vertices; MANO's releases differ by 0.6 mm
EXPLAINED = 0.002  # metres; another reading must come nearer than that
CHUNK = 256  # hands at a time: some tens of megabytes

# FreiHAND's blocks of numbers in the order of the file, and their names
BLOCKS = {'rotation': 3, 'pose': 45, 'betas': 10, 'place': 3}
FINGERS = ('index', 'middle', 'pinky', 'ring', 'thumb')  # in MANO's order

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MeshReading(Hypothesis):
    """Another way to read the numbers of an entry.

    Attributes:
        numbers: Takes (N, 61) numbers to those that FreiHAND's format would have.
        form: Of the pose, see `hand.rotations`.
        mirror: The vertices are those of the mirror image.
        shift: The numbers of entry k belong to the vertices of entry k + shift.
    """

    numbers: Change = lambda numbers: numbers
    form: str = 'freihand'
    mirror: bool = False
    shift: int = 0


def check_mano_mesh(
    numbers: np.ndarray,
    vertices: np.ndarray,
    model: ManoModel,
    where: str,
    report: DatasetReport,
    at_most: int | None = None,
) -> None:
    """Note the entries whose numbers do not give their mesh, and what the numbers seem to be.

    Args:
        numbers: (N, 61) as in `*_mano.json`.
        vertices: (N, 778, 3) as in `*_verts.json`, metres.
        model: The hand.
        where: File of the numbers.
        report: Takes an error for each cause, or a note where all is well.
        at_most: Look at so many entries, evenly spread; None: at all.
    """
    looked_at = np.array(spread(range(len(numbers)), at_most or len(numbers)), int)
    distances = MeshOverlay(numbers, vertices, model).tell(looked_at, where, report)
    if (distances < TOLERANCE).all():
        report.notes.append(
            f'MANO numbers give the mesh of {len(looked_at)} entries within '
            f'{1000 * distances.max():.3f} mm ({model.name})'
        )


class MeshOverlay(Overlay[MeshReading]):
    """Meshes of MANO numbers and annotated ones, each about its own middle.

    Args:
        numbers: (N, 61).
        vertices: (N, 778, 3).
        model: The hand.
    """

    kind = 'mano_mesh_mismatch'
    expected = 'numbers that give the mesh of verts'
    right = MeshReading('as expected')
    tolerance = TOLERANCE
    explained = EXPLAINED

    def __init__(self, numbers: np.ndarray, vertices: np.ndarray, model: ManoModel) -> None:
        self.by = f'with {model.name}'
        self.numbers = numbers
        self.vertices = vertices
        self.model = model
        self.mano = Mano(model)

    @torch.inference_mode()
    def meshes(self, numbers: np.ndarray, form: str) -> np.ndarray:
        """(N, 778, 3) vertices about their means, of (N, 61) numbers."""
        from pytorch3d.transforms import axis_angle_to_matrix

        given = torch.from_numpy(np.ascontiguousarray(numbers, np.float32))
        out = self.mano(
            axis_angle_to_matrix(given[:, :3]),
            pose_to_matrix(given[:, 3:48], form, self.model),
            given[:, 48:58],
        )
        return centred(out.vertices.numpy())

    def distances(self, entries: np.ndarray, reading: MeshReading) -> np.ndarray:
        """See `Overlay`."""
        parts = [np.zeros(0)]
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            meshes = self.meshes(reading.numbers(np.array(self.numbers[chunk])), reading.form)
            true = self.annotated((chunk + reading.shift) % len(self.numbers))
            if reading.mirror:
                meshes = meshes * np.array([-1, 1, 1], np.float32)
            parts.append(np.sqrt(np.square(meshes - true).sum(-1)).mean(-1))
        return np.concatenate(parts)

    def turned_distances(self, entries: np.ndarray) -> np.ndarray:
        """The same as they are read, after each mesh is turned as fits best."""
        meshes = self.meshes(np.array(self.numbers[entries]), 'freihand')
        true = self.annotated(entries)
        u, _, vt = np.linalg.svd(meshes.swapaxes(1, 2) @ true)
        u[..., 2] *= np.linalg.det(u @ vt)[:, None]
        return np.sqrt(np.square(meshes @ u @ vt - true).sum(-1)).mean(-1)

    def annotated(self, entries: np.ndarray) -> np.ndarray:
        """(N, 778, 3) annotated vertices about their means."""
        return centred(np.array(self.vertices[entries]))

    def readings(self, probes: np.ndarray) -> Iterator[MeshReading]:
        """See `Overlay`."""
        return hypotheses(self.model)

    def unexplained(self, probes: np.ndarray) -> str:
        """See `Overlay`."""
        if (self.turned_distances(probes) < TOLERANCE).all():
            return (
                'likely cause: a global rotation (numbers 0-2) in another frame than that of verts'
            )
        return (
            f'no likely cause found: numbers made with another hand than {self.model.name}, '
            'or of other pictures?'
        )


def hypotheses(model: ManoModel) -> Iterator[MeshReading]:
    """Yield the other readings, the common ones first."""
    mean = model.hands_mean

    def with_pose(function: Change) -> Change:
        def changed(numbers: np.ndarray) -> np.ndarray:
            numbers = numbers.copy()
            numbers[:, 3:48] = function(numbers[:, 3:48])
            return numbers

        return changed

    yield MeshReading('the pose (numbers 3-47) holds PCA coefficients, not angles', form='pca')
    yield MeshReading(
        'the pose holds full rotations, so that the mean pose is added twice; expected offsets to '
        'it (hands_mean subtracted)',
        form='axis_angle',
    )
    yield MeshReading(
        'the mean pose stands in the pose twice (hands_mean was added to full rotations); expected '
        'offsets to it',
        numbers=with_pose(lambda pose: pose - 2 * mean),
    )
    yield MeshReading(
        'the mean pose was subtracted twice', numbers=with_pose(lambda pose: pose + mean)
    )
    yield MeshReading('angles in degrees, expected radians', numbers=_radians)
    yield MeshReading(
        'the angles of the pose (numbers 3-47) in degrees, expected radians',
        numbers=with_pose(np.deg2rad),
    )
    yield MeshReading('full rotations in degrees', numbers=_radians, form='axis_angle')
    yield MeshReading(
        'the global rotation the other way round (a transposed matrix)',
        numbers=lambda numbers: numbers * np.repeat([-1, 1], [3, 58]),
    )
    yield MeshReading('a left hand: numbers and vertices are mirrored', _mirrored, mirror=True)
    yield MeshReading('vertices of a left hand, numbers of a right one', mirror=True)
    yield MeshReading('numbers of a left hand, vertices of a right one', _mirrored)
    for shift in SHIFTS:
        yield MeshReading(shift_words('the numbers', 'the mesh', shift), shift=shift)
    for order in itertools.permutations(BLOCKS):
        if order != tuple(BLOCKS):
            yield MeshReading(
                f'the order {", ".join(order)}, expected {", ".join(BLOCKS)} '
                f'({" + ".join(map(str, BLOCKS.values()))} numbers)',
                numbers=_reordered(order),
            )
    for order in itertools.permutations(FINGERS):
        for kind in ('', ' of full rotations'):
            if order != FINGERS:
                yield MeshReading(
                    f"the fingers{kind} in the order {', '.join(order)}, expected MANO's: "
                    f'{", ".join(FINGERS)}',
                    numbers=_with_fingers(order, kind, mean),
                )


def _radians(numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([np.deg2rad(numbers[:, :48]), numbers[:, 48:]], axis=1)


def _mirrored(numbers: np.ndarray) -> np.ndarray:
    signs = np.concatenate([np.tile([1, -1, -1], 16), np.ones(13)])
    return numbers * signs


def _reordered(order: tuple[str, ...]) -> Change:
    """Blocks that stand in `order` to the expected order."""
    parts, start = {}, 0
    for name in order:
        parts[name] = range(start, start + BLOCKS[name])
        start += BLOCKS[name]
    columns = [column for name in BLOCKS for column in parts[name]]
    return lambda numbers: numbers[:, columns]


def _with_fingers(order: tuple[str, ...], kind: str, mean: np.ndarray) -> Change:
    """Fingers that stand in `order` to MANO's order."""
    places = [order.index(finger) for finger in FINGERS]

    def changed(numbers: np.ndarray) -> np.ndarray:
        numbers = numbers.copy()
        fingers = numbers[:, 3:48].reshape(-1, 5, 9)
        numbers[:, 3:48] = fingers[:, places].reshape(-1, 45) - (mean if kind else 0)
        return numbers

    return changed
