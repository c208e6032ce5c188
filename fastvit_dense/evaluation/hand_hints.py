"""Hints at predicted hands that are written in another way than they are scored.

FreiHAND's scores take predictions as they are. What looks like another order of the joints, hands
about the origin, or another unit is told beside the scores, which stay what they are.
"""

import numpy as np

from ..hand.joint_orders import ORDERS, find_order
from ..hand.units import HAND_SIZE, hand_size, unit_of

SAMPLES = 64  # hands that are looked at, evenly spread
NEIGHBOURS = 40  # vertices that tell where a joint is
ROOT_RELATIVE = 0.2  # metres: so near to the camera is no hand
BEFORE_CAMERA = 0.3
OTHER_JOINT = 0.3  # of a hand's size, about 15 mm: a joint that is so far off is another one

ROOT_RELATIVE_WORDS = (
    'root-relative: they lie about the origin, the true hands before the camera, where scores '
    'without alignment are taken; add the place of the root'
)
BEHIND_CAMERA_WORDS = (
    'behind the camera: z points towards it, as in OpenGL; expected z forward, y down, x to the '
    'right (of OpenGL: y and z negated)'
)


def hints_at(
    gt_xyz: np.ndarray, gt_verts: np.ndarray, pred_xyz: np.ndarray, pred_verts: np.ndarray
) -> list[str]:
    """Tell what predictions seem to be that should be metres, camera space, FreiHAND's order.

    Args:
        gt_xyz: True joints (N, 21, 3).
        gt_verts: True vertices (N, V, 3).
        pred_xyz: Predicted joints (N, 21, 3).
        pred_verts: Predicted vertices (N, W, 3); the order of the joints is told where W is V.

    Returns:
        Sentences; none where all looks well.
    """
    chosen = np.unique(np.linspace(0, len(gt_xyz) - 1, min(len(gt_xyz), SAMPLES)).astype(int))
    true, true_mesh, found, mesh = (
        np.asarray(array[chosen], np.float64) for array in (gt_xyz, gt_verts, pred_xyz, pred_verts)
    )
    if not hand_size(found) or not hand_size(mesh):
        return []
    hints = []
    if unit := unit_of(hand_size(true), HAND_SIZE):
        hints.append(f'the true joints seem to be {unit[0]}, not metres')
    seem: dict[str, list[str]] = {}  # what predictions seem to be -> which of them
    for name, points, truth in (('joints', found, true), ('vertices', mesh, true_mesh)):
        if unit := unit_of(hand_size(points), hand_size(truth)):
            words, per_metre = unit
            seem.setdefault(f'{words}: divide them by {per_metre:.4g}', []).append(name)
            points /= per_metre
        if _distance(points) < ROOT_RELATIVE and _distance(truth) > BEFORE_CAMERA:
            seem.setdefault(ROOT_RELATIVE_WORDS, []).append(name)
        elif np.median(points[..., 2]) < -BEFORE_CAMERA < BEFORE_CAMERA < np.median(truth[..., 2]):
            seem.setdefault(BEHIND_CAMERA_WORDS, []).append(name)
    for words, names in seem.items():
        hints.append(f'the predicted {" and ".join(names)} seem to be {words}')
    if true_mesh.shape == mesh.shape and (order := _order(true[0], true_mesh[0], found, mesh)):
        known = ORDERS.get(order, 'another order')
        hints.append(
            f'the predicted joints seem to be in {known}, judged by the predicted vertices; in '
            f"FreiHAND's order they are joints[:, {list(order)}]"
        )
    return hints


def _distance(points: np.ndarray) -> float:
    """Median distance of hands (N, V, 3) from the origin."""
    return float(np.median(np.linalg.norm(points.mean(1), axis=-1)))


def _order(
    joints: np.ndarray, vertices: np.ndarray, found: np.ndarray, mesh: np.ndarray
) -> tuple[int, ...] | None:
    """Places of FreiHAND's joints among the predicted ones; None where they are their own.

    Args:
        joints: (21, 3) of one true hand, which tell what vertices a joint lies between.
        vertices: (V, 3) of the same hand.
        found: Predicted joints (N, 21, 3).
        mesh: Predicted vertices (N, V, 3).
    """
    regressor = joint_weights(joints, vertices)
    return find_order(_normalized(regressor @ mesh), _normalized(found), OTHER_JOINT)


def joint_weights(joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Write the joints (J, 3) of a hand as weighted means of near vertices (V, 3): (J, V).

    The weights add up to 1 and are the smallest of that kind, so that they tell about where the
    joint is in another pose, too.
    """
    weights = np.zeros((len(joints), len(vertices)))
    for row, joint in zip(weights, joints, strict=True):
        near = np.argsort(((vertices - joint) ** 2).sum(-1))[:NEIGHBOURS]
        equations = np.vstack([(vertices[near] - joint).T, np.ones(len(near))])
        row[near] = np.linalg.lstsq(equations, [0, 0, 0, 1], rcond=None)[0]
    return weights


def _normalized(points: np.ndarray) -> np.ndarray:
    """Hands (N, J, 3) about their means, of size 1."""
    points = points - points.mean(1, keepdims=True)
    size = np.sqrt((points**2).sum(-1).mean(-1))
    return points / np.maximum(size, 1e-9)[:, None, None]
