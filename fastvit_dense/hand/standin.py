"""A procedural right hand with MANO's names, shapes and dtypes, free of MANO's licence.

It lets every test, demo and sample run without the MANO file. It is not MANO: its shape, skinning
and bases are made up here, and numbers made with it say "stand-in hand, not MANO".

The hand is a coarse cage of about 200 points (a box for the palm, a square tube for each finger)
and one step of Catmull-Clark subdivision. The subdivision is a linear map with rows that sum to 1,
so the skinning weights and shape bases are written down on the cage as well and go through the
same map.

Cage coordinates, millimetres: u from the wrist to the fingers, w towards the thumb, h towards the
back of the hand. MANO's frame: the fingers point to -x, the thumb to +z, the palm faces -y.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from .mano import FINGERTIP_VERTICES, PARENTS, ManoModel
from .subdivision import subdivide, triangulate

NUM_VERTICES = 778
WRIST_X = 0.09  # metres; MANO's origin lies in the middle of the palm

# Palm: rows from the wrist cut to the webs between the fingers, columns from the little finger to
# the index finger. u, w, height of the back, height of the palm.
PALM_ROWS = (
    ((-16,) * 4, (-26, -10, 10, 26), (10, 17, 17, 10), (-9, -16, -16, -9)),
    ((14,) * 5, (-31, -16, 0, 16, 31), (9, 16, 17, 16, 10), (-13, -18, -16, -20, -15)),
    ((36, 37, 38, 39, 40), (-40, -21, -2, 18, 36), (8, 14, 16, 15, 8), (-14, -18, -13, -20, -17)),
    ((56, 60, 63, 65, 64), (-44, -24, -4, 17, 38), (7, 13, 15, 14, 8), (-13, -15, -11, -13, -10)),
    ((74, 80, 86, 89, 87), (-46, -26, -6, 15, 37), (7, 11, 13, 12, 9), (-11, -13, -12, -13, -10)),
    ((91, 101, 108, 110, 106), (-45, -26, -6, 15, 36), (3, 6, 7, 7, 5), (-8, -10, -10, -10, -8)),
)


@dataclass(frozen=True)
class Finger:
    """One finger: its first MANO joint, its bones, and the square rings of the cage around it.

    Attributes:
        first_joint: Number of its first MANO joint; the others follow.
        base: (3,) position of the first joint, cage coordinates, millimetres.
        directions: (3, 3) direction of each bone, cage coordinates, normalised on use.
        lengths: The three bones, millimetres.
        rings: (bone, fraction along it, half width, half height in millimetres,
            share of the bone's own joint in the skinning; the rest goes to the joint before).
    """

    first_joint: int
    base: tuple[float, float, float]
    directions: tuple[tuple[float, float, float], ...]
    lengths: tuple[float, float, float]
    rings: tuple[tuple[int, float, float, float, float], ...]


def _straight(angle: float) -> tuple[tuple[float, float, float], ...]:
    """Three bones in a slight arch, turned by `angle` degrees towards the thumb."""
    turn = np.deg2rad(angle)
    return tuple((np.cos(turn), np.sin(turn), drop) for drop in (-0.02, -0.07, -0.14))


def _rings(size: float) -> tuple[tuple[int, float, float, float, float], ...]:
    """Rings of a finger; `size` 1 is about 17 mm thick."""
    table = (
        (0, 0.64, 8.9, 8.6, 1.0),
        (0, 0.82, 8.6, 8.4, 1.0),
        (1, 0.00, 8.9, 8.4, 0.5),
        (1, 0.50, 8.0, 7.5, 1.0),
        (2, 0.00, 8.0, 7.2, 0.5),
        (2, 0.55, 7.6, 6.6, 1.0),
        (2, 1.00, 4.2, 3.4, 1.0),
    )
    return tuple((b, t, size * width, size * height, own) for b, t, width, height, own in table)


# In the order of FINGERTIP_VERTICES: thumb, index, middle, ring, little finger.
FINGERS = (
    Finger(
        13,
        (20, 23, -7),
        ((0.64, 0.68, -0.36), (0.74, 0.58, -0.30), (0.80, 0.54, -0.22)),
        (42, 32, 28),
        (
            (0, 0.52, 14.5, 14.0, 1.0),
            (1, 0.00, 12.0, 11.2, 0.5),
            (1, 0.50, 10.4, 10.0, 1.0),
            (2, 0.00, 11.0, 9.8, 0.5),
            (2, 0.55, 10.4, 8.0, 1.0),
            (2, 1.00, 5.2, 4.0, 1.0),
        ),
    ),
    Finger(1, (88, 26, 0), _straight(4), (40, 24, 23), _rings(1.06)),
    Finger(4, (88, 4.5, 1), _straight(0), (44, 27, 24), _rings(1.1)),
    Finger(10, (83, -16, 0), _straight(-4), (41, 25, 24), _rings(1.04)),
    Finger(7, (77, -36, -2), _straight(-9), (32, 19, 21), _rings(0.9)),
)
THUMB, INDEX, MIDDLE, RING, LITTLE = range(5)
COLUMN_FINGERS = (LITTLE, RING, MIDDLE, INDEX)  # the finger between column j and j + 1

# Share of the fingers (their first joints) in the skinning of the palm's rows.
PALM_FINGER_SHARE = (0, 0, 0, 0.08, 0.5, 0.92)
# Share of the thumb's first joint: (row, column): (back, palm).
PALM_THUMB_SHARE = {
    (1, 4): (0.25, 0.3),
    (2, 4): (0.45, 0.55),
    (3, 4): (0.1, 0.15),
    (1, 3): (0.05, 0.2),
    (2, 3): (0.1, 0.3),
}

# Limits of the made-up poses, degrees: bend of the three joints, spread of the first.
FINGER_BEND = ((-10, 80), (0, 95), (0, 60))
THUMB_BEND = ((-15, 25), (-5, 45), (-10, 60))
SPREAD = 10


@dataclass
class Cage:
    """Points, polygons (counter-clockwise from outside) and per-point data of the coarse hand."""

    points: list[np.ndarray] = field(default_factory=list)
    faces: list[list[int]] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)  # (16,) skinning
    finger: list[int] = field(default_factory=list)  # number of the finger, -1 palm
    axis: list[np.ndarray] = field(default_factory=list)  # point on the finger's bone

    def add(self, point: np.ndarray, weights: dict[int, float], finger: int = -1,
            axis: np.ndarray | None = None) -> int:  # fmt: skip
        """Add a point; returns its number."""
        row = np.zeros(16)
        for joint, share in weights.items():
            row[joint] += share
        row[0] += 1 - row.sum()
        self.points.append(np.asarray(point, float))
        self.weights.append(row)
        self.finger.append(finger)
        self.axis.append(self.points[-1] if axis is None else axis)
        return len(self.points) - 1


def finger_joints(finger: Finger) -> np.ndarray:
    """(4, 3) first joint to fingertip, cage coordinates, millimetres."""
    directions = np.array(finger.directions)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = directions * np.array(finger.lengths)[:, None]
    return np.concatenate([[finger.base], finger.base + np.cumsum(steps, axis=0)])


def build_cage() -> tuple[Cage, dict[int, list[int]], list[list[int]]]:
    """The coarse hand.

    Returns:
        The cage, the cage points whose refined neighbourhood marks each joint, and for each finger
        the polygon at its tip.
    """
    cage = Cage()
    back, palm = _add_palm(cage)
    rings = {0: back[0] + palm[0] + back[1] + palm[1]}
    tips = []
    for number, finger in enumerate(FINGERS):
        if number == THUMB:
            corners = [back[1][4], back[2][4], palm[2][4], palm[1][4]]
            rings[finger.first_joint] = [*corners, back[1][3], back[2][3], palm[2][3], palm[1][3]]
        else:
            j = COLUMN_FINGERS.index(number)
            corners = [palm[5][j], palm[5][j + 1], back[5][j + 1], back[5][j]]
            rings[finger.first_joint] = [back[4][j], back[4][j + 1], palm[4][j], palm[4][j + 1]]
        tube = _add_finger(cage, number, corners)
        hinges = [ring for ring, row in zip(tube, finger.rings, strict=True) if row[1] == 0]
        for step, ring in enumerate(hinges, start=1):
            rings[finger.first_joint + step] = ring
        tips.append(tube[-1])
    return cage, rings, tips


def _add_palm(cage: Cage) -> tuple[list[list[int]], list[list[int]]]:
    """Point numbers [row][column] of the back and of the palm."""
    back: list[list[int]] = []
    palm: list[list[int]] = []
    for i, (us, ws, tops, bottoms) in enumerate(PALM_ROWS):
        for heights, layer, side in ((tops, back, 0), (bottoms, palm, 1)):
            row = []
            for j, (u, w, h) in enumerate(zip(us, ws, heights, strict=True)):
                weights = {}
                neighbours = [COLUMN_FINGERS[k] for k in (j - 1, j) if 0 <= k < 4]
                for number in neighbours:
                    joint = FINGERS[number].first_joint
                    weights[joint] = PALM_FINGER_SHARE[i] / len(neighbours)
                if share := PALM_THUMB_SHARE.get((i, j)):
                    weights[FINGERS[THUMB].first_joint] = share[side]
                row.append(cage.add(np.array([u, w, h]), weights))
            layer.append(row)

    for layer, flip in ((back, 1), (palm, -1)):
        wrist, first = layer[0], layer[1]
        cage.faces += [
            [wrist[0], first[0], first[1], wrist[1]][::flip],
            [wrist[1], first[1], first[2], first[3], wrist[2]][::flip],
            [wrist[2], first[3], first[4], wrist[3]][::flip],
        ]
        for a, b in itertools.pairwise(layer[1:]):
            cage.faces += [[a[j], b[j], b[j + 1], a[j + 1]][::flip] for j in range(4)]
    for i in range(5):
        for j, flip in ((0, -1), (-1, 1)):
            wall = [back[i][j], back[i + 1][j], palm[i + 1][j], palm[i][j]]
            if (i, j) != (1, -1):  # where the thumb grows
                cage.faces.append(wall[::flip])
    return back, palm


def _add_finger(cage: Cage, number: int, corners: list[int]) -> list[list[int]]:
    """Grow a square tube from the four corners; returns its rings, the last one closed."""
    finger = FINGERS[number]
    joints = finger_joints(finger)
    rings, previous = [], corners
    for bone, t, half_width, half_height, own in finger.rings:
        centre = joints[bone] + t * (joints[bone + 1] - joints[bone])
        along = joints[bone + 1] - joints[bone]
        if t == 0:  # a hinge stands half way between its two bones
            along = (
                along / finger.lengths[bone]
                + (joints[bone] - joints[bone - 1]) / (finger.lengths[bone - 1])
            )
        side, up = _frame(number, along)
        joint = finger.first_joint + bone
        weights = {joint: own, joint - 1: 1 - own} if own < 1 else {joint: 1.0}
        if number == THUMB:  # corners: (-, +), (+, +), (+, -), (-, -)
            signs = ((-1, 1), (1, 1), (1, -1), (-1, -1))
        else:
            signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ring = [
            cage.add(centre + a * half_width * side + b * half_height * up, weights, number, centre)
            for a, b in signs
        ]
        cage.faces += [
            [previous[k], previous[(k + 1) % 4], ring[(k + 1) % 4], ring[k]] for k in range(4)
        ]
        rings.append(ring)
        previous = ring
    cage.faces.append(previous)
    return rings


def _frame(number: int, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors across a finger: sideways, and out of its nail."""
    along = along / np.linalg.norm(along)
    reference = np.array([0.9, 0, 0.35]) if number == THUMB else np.array([0.0, 1, 0])
    side = reference - (reference @ along) * along
    side /= np.linalg.norm(side)
    up = np.cross(side, along) if number == THUMB else np.cross(along, side)
    return side, up


def _shape_fields(cage: Cage) -> np.ndarray:
    """(points, 3, 10) millimetres per unit of each shape parameter, on the cage.

    Size; length of all fingers; width and thickness of the palm; thickness of the fingers; length
    of thumb, index, middle, ring and little finger.
    """
    points = np.array(cage.points)
    axis = np.array(cage.axis)
    finger = np.array(cage.finger)
    fields = np.zeros((len(points), 3, 10))
    fields[..., 0] = 0.04 * points
    centre = points.copy()  # palm: the point; finger: its base, so that fingers move as a whole
    for number, part in enumerate(FINGERS):
        own = finger == number
        base = np.array(part.base)
        centre[own] = base
        fields[own, :, 1] = 0.05 * (axis[own] - base)
        fields[own, :, 4] = 0.06 * (points[own] - axis[own])
        fields[own, :, 5 + number] = 0.05 * (axis[own] - base)
    fields[:, 1, 2] = 0.05 * centre[:, 1]
    fields[:, 2, 3] = 0.08 * (points - axis * (finger >= 0)[:, None])[:, 2] * (finger < 0)
    return fields


def _to_mano(vectors: np.ndarray) -> np.ndarray:
    """Directions (..., 3) from cage coordinates in millimetres to MANO's frame in metres."""
    u, w, h = np.moveaxis(vectors, -1, 0)
    return np.stack([-u, h, w], axis=-1) / 1000


def bend_axes() -> np.ndarray:
    """(15, 3) unit axes in MANO's frame; turning about them by a positive angle bends a finger."""
    axes = np.zeros((15, 3))
    for number, finger in enumerate(FINGERS):
        for bone, along in enumerate(np.diff(finger_joints(finger), axis=0)):
            _, up = _frame(number, along)
            axis = np.cross(along, -up)
            axes[finger.first_joint - 1 + bone] = _to_mano(axis / np.linalg.norm(axis)) * 1000
    return axes


def _poses(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 45) made-up natural poses, axis-angle, radians."""
    axes = bend_axes()
    poses = np.zeros((count, 15, 3))
    curl = rng.beta(0.8, 1.2, (count, 1))  # how far the whole hand is closed
    for number, finger in enumerate(FINGERS):
        limits = np.deg2rad(THUMB_BEND if number == THUMB else FINGER_BEND)
        closed = np.clip(curl + rng.normal(0, 0.18, (count, 1)), 0, 1)
        share = np.clip(closed + rng.normal(0, 0.1, (count, 3)), 0, 1)
        bend = limits[:, 0] + share * (limits[:, 1] - limits[:, 0])
        first = finger.first_joint - 1
        poses[:, first : first + 3] = bend[..., None] * axes[first : first + 3]
        spread = np.deg2rad(SPREAD) * rng.uniform(-1, 1, count) * (1 - closed[:, 0])
        poses[:, first, 1] += spread
    poses += rng.normal(0, 0.02, poses.shape)  # so that all 45 components mean something
    return poses.reshape(count, 45)


def _pose_directions(
    rng: np.random.Generator, vertices: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """(778, 3, 135) small smooth offsets that fade with the distance from the joint, metres."""
    distance = np.linalg.norm(vertices[:, None] - joints[None, 1:], axis=-1)
    falloff = np.exp(-((distance / 0.015) ** 2) / 2)  # (778, 15)
    offsets = rng.normal(0, 0.0004, (15, 3, 9))
    return np.einsum('vj,jck->vcjk', falloff, offsets).reshape(NUM_VERTICES, 3, 135)


def standin_mano(seed: int = 0) -> ManoModel:
    """The licence-free hand: a right hand of about 18 cm with MANO's arrays.

    Args:
        seed: For the pose-dependent offsets and the made-up scan poses (and with them
            `hands_mean` and the components); the mesh, its skinning and shape basis are the same
            for every seed.

    Returns:
        The model; its `is_standin` is True and its `name` says that it is not MANO.
    """
    rng = np.random.default_rng(seed)
    cage, rings, tips = build_cage()
    points = np.array(cage.points)
    operator, quads, edge_point = subdivide(cage.faces, len(points))
    operator, triangles = triangulate(operator, quads, points, NUM_VERTICES)

    order = _vertex_order([_face_point(cage.faces, len(points), len(edge_point), t) for t in tips])
    operator = operator[order]
    number = np.argsort(order)
    triangles = number[triangles]

    vertices = operator @ _to_mano(points) + [WRIST_X, 0, 0]
    weights = operator @ np.array(cage.weights)
    shapedirs = np.einsum('vp,pcs->vcs', operator, _shape_fields(cage))
    shapedirs = np.moveaxis(_to_mano(np.moveaxis(shapedirs, 1, -1)), -1, 1)

    regressor = np.zeros((16, NUM_VERTICES))
    for joint, members in rings.items():
        inside = [edge_point[e] for e in edge_point if e[0] in members and e[1] in members]
        regressor[joint, number[[*members, *inside]]] = 1
    regressor /= regressor.sum(1, keepdims=True)
    joints = regressor @ vertices

    poses = _poses(rng, 1554)
    mean = poses.mean(0)
    components = np.linalg.eigh(np.cov(poses.T))[1].T[::-1].copy()  # largest variance first
    return ManoModel(
        v_template=vertices,
        f=triangles.astype(np.uint32),
        J_regressor=regressor,
        J=joints,
        kintree_table=np.array([PARENTS, range(16)], dtype=np.int64),
        weights=weights,
        posedirs=_pose_directions(rng, vertices, joints),
        shapedirs=shapedirs,
        hands_mean=mean,
        hands_components=components,
        hands_coeffs=(poses - mean) @ components.T,
        name='stand-in hand, not MANO',
        is_standin=True,
    )


def _face_point(faces: list[list[int]], points: int, edges: int, polygon: list[int]) -> int:
    return points + edges + faces.index(polygon)


def _vertex_order(tip_points: list[int]) -> np.ndarray:
    """Old number of each new vertex, so that the fingertips get MANO's numbers."""
    rest = iter(sorted(set(range(NUM_VERTICES)) - set(tip_points)))
    tips = dict(zip(FINGERTIP_VERTICES, tip_points, strict=True))
    return np.array([tips[n] if n in tips else next(rest) for n in range(NUM_VERTICES)])
