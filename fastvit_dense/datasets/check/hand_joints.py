"""FreiHAND's joints laid over those of the annotated vertices: are they of the same hand?"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...hand.joint_orders import ORDERS, find_order
from ...hand.mano import FINGERTIP_VERTICES, Mano, ManoModel
from ..spread import spread
from .findings import DatasetReport
from .hand_overlay import SHIFTS, Hypothesis, Overlay, centred, shift_words

TOLERANCE = 0.003  # metres, mean over the joints
# Tips alone: code bases take neighbours of FreiHAND's vertices, 4 mm away on average
TIPS_TOLERANCE = 0.006
SAME_TIP = 0.001
ANOTHER_JOINT = 0.015  # metres: a joint that is so far off is another one
TIPS = tuple(range(4, 21, 4))
ALL = tuple(range(21))

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class JointReading(Hypothesis):
    """Another way to read the joints of an entry.

    Attributes:
        joints: Takes (N, 21, 3) joints to those that FreiHAND's format would have.
        moved: Both hands are taken about their own middle.
        shift: The joints of entry k belong to the vertices of entry k + shift.
    """

    joints: Change = lambda joints: joints
    moved: bool = True
    shift: int = 0


def check_joints(
    xyz: np.ndarray,
    vertices: np.ndarray,
    model: ManoModel | None,
    name: str,
    report: DatasetReport,
    at_most: int | None = None,
) -> None:
    """Note the entries whose joints are not those of their mesh, and what they seem to be.

    Args:
        xyz: (N, 21, 3), metres.
        vertices: (N, 778, 3) as in `*_verts.json`, metres.
        model: Whose joints to take; None: the fingertips alone, which are vertices.
        name: Common part of the names of the annotation files.
        report: Takes the findings.
        at_most: Look at so many entries, evenly spread; None: at all.
    """
    looked_at = np.array(spread(range(len(xyz)), at_most or len(xyz)), int)
    overlay = JointOverlay(xyz, vertices, model)
    distances = overlay.tell(looked_at, f'{name}_xyz.json', report)
    alike = looked_at[distances < overlay.tolerance]
    if len(alike) == len(looked_at):
        alike = np.arange(len(xyz))
    tips = np.asarray(vertices[:, FINGERTIP_VERTICES], np.float64)[alike]
    apart = np.linalg.norm(tips - xyz[:, TIPS][alike], axis=-1)
    good = (apart < SAME_TIP).all(1)
    if not good.all():
        report.warning(
            'fingertips',
            name,
            'expected fingertips of xyz = vertices 744 320 443 555 672 of verts (not so in version '
            f'1 of the dataset), found otherwise in {int((~good).sum())} of {good.size} entries, '
            f'first entry {alike[int(np.argmin(good))]}',
        )


class JointOverlay(Overlay[JointReading]):
    """Annotated joints, and those of annotated vertices.

    Args:
        xyz: (N, 21, 3).
        vertices: (N, 778, 3).
        model: Whose joints to take; None: the fingertips alone.
    """

    kind = 'joint_mismatch'
    expected = 'the joints of verts in xyz'
    right = JointReading('as expected', moved=False)

    def __init__(self, xyz: np.ndarray, vertices: np.ndarray, model: ManoModel | None) -> None:
        self.xyz = xyz
        self.vertices = vertices
        if model is None:
            self.rows, self.regressor = TIPS, np.eye(778)[list(FINGERTIP_VERTICES)]
            self.by = 'by the fingertips'
        else:
            self.rows = ALL
            self.regressor = Mano(model).joint_regressor.double().numpy()
            self.by = f'with the joints of {model.name}'
        self.tolerance = self.explained = TOLERANCE if self.rows == ALL else TIPS_TOLERANCE

    def distances(self, entries: np.ndarray, reading: JointReading) -> np.ndarray:
        """See `Overlay`."""
        given = reading.joints(self.given(entries))[:, self.rows]
        true = self.of_vertices((entries + reading.shift) % len(self.xyz))
        if reading.moved:
            given, true = centred(given), centred(true)
        return np.linalg.norm(given - true, axis=-1).mean(-1)

    def given(self, entries: np.ndarray) -> np.ndarray:
        """(N, 21, 3) annotated joints."""
        return np.array(self.xyz[entries], np.float64)

    def of_vertices(self, entries: np.ndarray) -> np.ndarray:
        """(N, J, 3) joints of the annotated vertices, all or the tips."""
        return np.array([self.regressor @ self.vertices[entry] for entry in entries.tolist()])

    def readings(self, probes: np.ndarray) -> Iterator[JointReading]:
        """See `Overlay`."""
        yield JointReading('xyz and verts have different origins (one of them root-relative?)')
        orders = dict(ORDERS)
        if self.rows == ALL:
            joints, given = self.of_vertices(probes), self.given(probes)
            found = find_order(centred(joints), centred(given), ANOTHER_JOINT)
            if found is not None:
                orders.setdefault(found, 'another order')
        for order, words in orders.items():
            yield JointReading(
                f"joints in {words}; in FreiHAND's order they are xyz[:, {list(order)}]",
                joints=_with_order(order),
            )
        yield from _other_axes()
        for shift in SHIFTS:
            yield JointReading(shift_words('the joints', 'the mesh', shift), shift=shift)

    def unexplained(self, probes: np.ndarray) -> str:
        """See `Overlay`."""
        return 'no likely cause found: xyz or verts of other pictures, or of another hand?'


def _with_order(order: tuple[int, ...]) -> Change:
    return lambda joints: joints[:, order]


def _other_axes() -> Iterator[JointReading]:
    """Yield mirror images and exchanged axes, those of the fewest changes first."""
    found = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            changes = sum(a != k for k, a in enumerate(axes)) + signs.count(-1)
            mirrored = np.linalg.det(np.eye(3)[list(axes)] * signs) < 0
            found.append((changes, axes, signs, ', a mirror image' if mirrored else ''))
    for _, axes, signs, words in sorted(found)[1:]:
        names = ', '.join('-' * (s < 0) + 'xyz'[a] for a, s in zip(axes, signs, strict=True))
        yield JointReading(
            f'other axes: xyz holds ({names}) of verts{words}', joints=_with_axes(axes, signs)
        )


def _with_axes(axes: tuple[int, ...], signs: tuple[int, ...]) -> Change:
    return lambda joints: (joints * signs)[..., np.argsort(axes)]
