"""Parts of the error of a hand: place, rotation, scale, articulation, shape.

Each is mended in turn from the truth, and what that takes off the mean distance of the joints is
its part; so the parts sum to the error in camera space, `xyz_mean3d`. From joints alone, so that
it holds for any model and for saved predictions:

1. place: the wrist is put where it is.
2. rotation: the hand is turned about the wrist as brings its palm (the wrist and the five joints
   next to it, which no finger moves) nearest to the true one, by least squares (Kabsch 1976).
3. scale: the hand is grown by the ratio of the bones' total lengths.
4. articulation: the bones of the fingers take the true directions and keep their lengths.
5. shape: what is left: lengths of single bones, and where the fingers stand at the palm.

Vertices are moved as their joints tell in the first three steps; what is left of their error is
articulation and shape together, for joints alone do not tell how a mesh follows its bones.

A part can be negative where an error made up for another one.
"""

import numpy as np

from .diagnosis import Breakdown, Part

PARENTS = np.array([-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19])
KNUCKLES = np.flatnonzero(PARENTS == 0)
PARTS = {
    'place': 'the wrist stands elsewhere in the camera',
    'rotation': 'the palm is turned',
    'scale': 'all bones together are too long or too short',
    'articulation': 'bones of the fingers point elsewhere',
    'shape': 'single bones are too long or too short, fingers stand elsewhere at the palm',
}
VERTEX_PARTS = {name: PARTS[name] for name in ('place', 'rotation', 'scale')} | {
    'articulation and shape': 'fingers point elsewhere, or the hand has another form'
}


def error_parts(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Parts (N, 5) of the mean joint error of each hand, metres, in the order of `PARTS`.

    Args:
        truth: (N, 21, 3) joints, metres, camera frame, FreiHAND's order.
        predicted: (N, 21, 3).
    """
    truth, hand = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    errors = [_error(truth, hand)]
    wrist = truth[:, :1]
    hand = hand - hand[:, :1]
    errors.append(_error(truth, hand + wrist))
    hand = hand @ palm_rotation(hand, truth - wrist).swapaxes(1, 2)
    errors.append(_error(truth, hand + wrist))
    hand = hand * _total_length(truth) / _total_length(hand)
    errors.append(_error(truth, hand + wrist))
    hand = _point_as(hand, truth)
    errors.append(_error(truth, hand + wrist))
    return -np.diff([*errors, np.zeros(len(truth))], axis=0).T


def _error(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.linalg.norm(truth - predicted, axis=2).mean(axis=1)


def palm_rotation(hand: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Rotations (N, 3, 3) that bring the palms of hands (N, 21, 3) nearest to the true ones.

    The wrists lie at the origin.
    """
    u, _, vt = np.linalg.svd(truth[:, KNUCKLES].swapaxes(1, 2) @ hand[:, KNUCKLES])
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return u @ vt


def _bones(hand: np.ndarray) -> np.ndarray:
    """Bones (N, 20, 3), each from the parent to the joint."""
    return hand[:, 1:] - hand[:, PARENTS[1:]]


def _total_length(hand: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(_bones(hand), axis=2).sum(axis=1)
    return np.maximum(length, 1e-9)[:, None, None]


def _point_as(hand: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The hands (N, 21, 3) with the directions of the true fingers' bones."""
    directions = _bones(truth)
    directions /= np.maximum(np.linalg.norm(directions, axis=2, keepdims=True), 1e-9)
    lengths = np.linalg.norm(_bones(hand), axis=2, keepdims=True)
    turned = hand.copy()
    for joint in np.flatnonzero(PARENTS > 0):  # parents first
        bone = lengths[:, joint - 1] * directions[:, joint - 1]
        turned[:, joint] = turned[:, PARENTS[joint]] + bone
    return turned


def vertex_parts(
    truth: np.ndarray,
    predicted: np.ndarray,
    true_vertices: np.ndarray,
    predicted_vertices: np.ndarray,
) -> np.ndarray:
    """Parts (N, 4) of the mean vertex error of each hand, metres, in the order of `VERTEX_PARTS`.

    The joints tell what is mended; which vertices follow which bone they do not.

    Args:
        truth: (N, 21, 3) joints, metres, camera frame, FreiHAND's order.
        predicted: (N, 21, 3).
        true_vertices: (N, V, 3) in the same frame.
        predicted_vertices: (N, V, 3).
    """
    arrays = (truth, predicted, true_vertices, predicted_vertices)
    truth, predicted, mesh, found = (np.asarray(points, np.float64) for points in arrays)
    errors = [_error(mesh, found)]
    wrist = truth[:, :1]
    hand, found = predicted - predicted[:, :1], found - predicted[:, :1]
    errors.append(_error(mesh, found + wrist))
    turn = palm_rotation(hand, truth - wrist).swapaxes(1, 2)
    found = found @ turn
    errors.append(_error(mesh, found + wrist))
    found = found * _total_length(truth) / _total_length(hand)
    errors.append(_error(mesh, found + wrist))
    return -np.diff([*errors, np.zeros(len(truth))], axis=0).T


def breakdown(truth: np.ndarray, predicted: np.ndarray) -> Breakdown:
    """The mean joint error of hands (N, 21, 3), millimetres, by its parts."""
    return _breakdown('joint', 'joints', PARTS, error_parts(truth, predicted))


def vertex_breakdown(*arrays: np.ndarray) -> Breakdown:
    """The mean vertex error, millimetres, by its parts; arguments are those of `vertex_parts`."""
    return _breakdown('vertex', 'vertices', VERTEX_PARTS, vertex_parts(*arrays))


def _breakdown(name: str, points: str, words: dict[str, str], parts: np.ndarray) -> Breakdown:
    means = 1000 * parts.mean(axis=0)
    return Breakdown(
        f'What the {name} error is made of',
        'mm',
        f'Mended in turn from the truth, in this order; the parts sum to the {means.sum():.2f} mm '
        f'between true and predicted {points} in the camera.',
        [Part(n, float(v), None, m) for (n, m), v in zip(words.items(), means, strict=True)],
    )
