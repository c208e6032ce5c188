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
from .findings import DatasetReport

TOLERANCE = 0.003  # metres, mean over the vertices; MANO's releases differ by 0.6 mm
EXPLAINED = 0.002  # metres; another reading must come nearer than that
CHUNK = 256  # hands at a time: some tens of megabytes
PROBES = 6  # entries that every other reading is tried on, each time
CAUSES = 8  # other readings that one file may need
SHIFTS = (-2, -1, 1, 2)

# FreiHAND's blocks of numbers in the order of the file, and their names
BLOCKS = {'rotation': 3, 'pose': 45, 'betas': 10, 'place': 3}
FINGERS = ('index', 'middle', 'pinky', 'ring', 'thumb')  # in MANO's order

Reading = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Hypothesis:
    """Another way to read an entry.

    Attributes:
        words: What the annotation then holds.
        numbers: Takes (N, 61) numbers to those that FreiHAND's format would have.
        form: Of the pose, see `hand.rotations`.
        mirror: The vertices are those of the mirror image.
        shift: The numbers of entry k belong to the vertices of entry k + shift.
    """

    words: str
    numbers: Reading = lambda numbers: numbers
    form: str = 'freihand'
    mirror: bool = False
    shift: int = 0


RIGHT = Hypothesis('as expected')


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
    overlay = Overlay(numbers, vertices, model)
    count = len(numbers)
    looked_at = np.arange(count)
    if at_most is not None and at_most < count:
        looked_at = np.unique(np.linspace(0, count - 1, at_most).round().astype(int))
    distances = overlay.distances(looked_at, RIGHT)
    bad = looked_at[~(distances < TOLERANCE)]
    if not len(bad):
        report.notes.append(
            f'MANO numbers give the mesh of {len(looked_at)} entries within '
            f'{1000 * distances.max():.3f} mm ({model.name})'
        )
        return
    found = dict(zip(looked_at.tolist(), distances.tolist(), strict=True))
    for words, entries in _by_cause(overlay, bad):
        apart = 1000 * np.array([found[entry] for entry in entries])
        report.error(
            'mano_mesh_mismatch',
            where,
            f'{_ranges(entries, looked_at)}: the numbers give a mesh that is {apart.mean():.1f} mm '
            f'away from verts on average (first: {apart[0]:.1f} mm), expected the same mesh; '
            f'{words}. {len(entries)} of {len(looked_at)} entries looked at, with {model.name}',
        )


class Overlay:
    """Meshes of MANO numbers and annotated ones, each about its own middle.

    Args:
        numbers: (N, 61).
        vertices: (N, 778, 3).
        model: The hand.
    """

    def __init__(self, numbers: np.ndarray, vertices: np.ndarray, model: ManoModel) -> None:
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

    def distances(self, entries: np.ndarray, reading: Hypothesis) -> np.ndarray:
        """Mean distances (N,) of corresponding vertices, metres, under a reading."""
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


def centred(points: np.ndarray) -> np.ndarray:
    """Points (N, V, 3) about their means."""
    return points - points.mean(1, keepdims=True)


def _by_cause(overlay: Overlay, bad: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what explains wrong entries, and those entries, until all are told of."""
    left = bad
    for _ in range(CAUSES):
        if not len(left):
            return
        probes = left[np.linspace(0, len(left) - 1, min(PROBES, len(left))).round().astype(int)]
        best = _best_reading(overlay, probes)
        if best is None:
            break
        explained = overlay.distances(left, best) < EXPLAINED
        yield f'likely cause: {best.words}', left[explained]
        left = left[~explained]
    if len(left):
        probes = left[:PROBES]
        if (overlay.turned_distances(probes) < TOLERANCE).all():
            yield (
                'likely cause: a global rotation (numbers 0-2) in another frame than that of verts',
                left,
            )
        else:
            yield (
                f'no likely cause found: numbers made with another hand than {overlay.model.name}, '
                'or of other pictures?',
                left,
            )


def _best_reading(overlay: Overlay, probes: np.ndarray) -> Hypothesis | None:
    """The reading that gives the meshes of most of the entries; None where it gives none."""
    best, best_fit = None, (0, 0.0)
    for reading in hypotheses(overlay.model):
        distances = overlay.distances(probes, reading)
        fit = (int((distances < EXPLAINED).sum()), -float(distances.mean()))
        if fit > best_fit:
            best, best_fit = reading, fit
            if -fit[1] < EXPLAINED / 2:
                break
    return best


def hypotheses(model: ManoModel) -> Iterator[Hypothesis]:
    """Yield the other readings, the common ones first."""
    mean = model.hands_mean

    def with_pose(function: Reading) -> Reading:
        def changed(numbers: np.ndarray) -> np.ndarray:
            numbers = numbers.copy()
            numbers[:, 3:48] = function(numbers[:, 3:48])
            return numbers

        return changed

    yield Hypothesis('the pose (numbers 3-47) holds PCA coefficients, not angles', form='pca')
    yield Hypothesis(
        'the pose holds full rotations, so that the mean pose is added twice; expected offsets to '
        'it (hands_mean subtracted)',
        form='axis_angle',
    )
    yield Hypothesis(
        'the mean pose stands in the pose twice (hands_mean was added to full rotations); expected '
        'offsets to it',
        numbers=with_pose(lambda pose: pose - 2 * mean),
    )
    yield Hypothesis(
        'the mean pose was subtracted twice', numbers=with_pose(lambda pose: pose + mean)
    )
    yield Hypothesis('angles in degrees, expected radians', numbers=_radians)
    yield Hypothesis(
        'the angles of the pose (numbers 3-47) in degrees, expected radians',
        numbers=with_pose(np.deg2rad),
    )
    yield Hypothesis('full rotations in degrees', numbers=_radians, form='axis_angle')
    yield Hypothesis(
        'the global rotation the other way round (a transposed matrix)',
        numbers=lambda numbers: numbers * np.repeat([-1, 1], [3, 58]),
    )
    yield Hypothesis('a left hand: numbers and vertices are mirrored', _mirrored, mirror=True)
    yield Hypothesis('vertices of a left hand, numbers of a right one', mirror=True)
    yield Hypothesis('numbers of a left hand, vertices of a right one', _mirrored)
    for shift in SHIFTS:
        yield Hypothesis(
            f'entries shifted by {abs(shift)}: the numbers of entry k belong to the mesh of entry '
            f'k {"-" if shift < 0 else "+"} {abs(shift)}',
            shift=shift,
        )
    for order in itertools.permutations(BLOCKS):
        if order != tuple(BLOCKS):
            yield Hypothesis(
                f'the order {", ".join(order)}, expected {", ".join(BLOCKS)} '
                f'({" + ".join(map(str, BLOCKS.values()))} numbers)',
                numbers=_reordered(order),
            )
    for order in itertools.permutations(FINGERS):
        for kind in ('', ' of full rotations'):
            if order != FINGERS:
                yield Hypothesis(
                    f"the fingers{kind} in the order {', '.join(order)}, expected MANO's: "
                    f'{", ".join(FINGERS)}',
                    numbers=_with_fingers(order, kind, mean),
                )


def _radians(numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([np.deg2rad(numbers[:, :48]), numbers[:, 48:]], axis=1)


def _mirrored(numbers: np.ndarray) -> np.ndarray:
    signs = np.concatenate([np.tile([1, -1, -1], 16), np.ones(13)])
    return numbers * signs


def _reordered(order: tuple[str, ...]) -> Reading:
    """Blocks that stand in `order` to the expected order."""
    parts, start = {}, 0
    for name in order:
        parts[name] = range(start, start + BLOCKS[name])
        start += BLOCKS[name]
    columns = [column for name in BLOCKS for column in parts[name]]
    return lambda numbers: numbers[:, columns]


def _with_fingers(order: tuple[str, ...], kind: str, mean: np.ndarray) -> Reading:
    """Fingers that stand in `order` to MANO's order."""
    places = [order.index(finger) for finger in FINGERS]

    def changed(numbers: np.ndarray) -> np.ndarray:
        numbers = numbers.copy()
        fingers = numbers[:, 3:48].reshape(-1, 5, 9)
        numbers[:, 3:48] = fingers[:, places].reshape(-1, 45) - (mean if kind else 0)
        return numbers

    return changed


def _ranges(entries: np.ndarray, looked_at: np.ndarray) -> str:
    """Entries as blocks of neighbours among those looked at: `entries 0-11, 15`."""
    places = np.searchsorted(looked_at, entries)
    blocks = np.split(entries, np.flatnonzero(np.diff(places) > 1) + 1)
    texts = [f'{block[0]}-{block[-1]}' if len(block) > 1 else f'{block[0]}' for block in blocks]
    more = f' and {len(texts) - 5} more blocks' if len(texts) > 5 else ''
    return f'{"entries" if len(entries) > 1 else "entry"} {", ".join(texts[:5])}{more}'
