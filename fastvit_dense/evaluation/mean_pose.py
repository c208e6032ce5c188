"""The hand that sees nothing: MANO's mean pose and mean shape in every picture."""

import numpy as np
import torch

from ..hand.mano import Mano
from .hand_scores import align

CHUNK = 256  # hands at a time: some tens of megabytes


def mean_pose_errors(joints: np.ndarray, vertices: np.ndarray, mano: Mano) -> dict[str, float]:
    """Errors of the mean pose after alignment to each true hand.

    Args:
        joints: True joints (N, 21, 3), metres, N at least 1.
        vertices: True vertices (N, 778, 3).
        mano: Whose mean pose it is.

    Returns:
        `PA-MPJPE` and `PA-MPVPE` in mm, as `evaluate_hand` defines them.
    """
    with torch.no_grad():
        mean = mano(torch.eye(3)[None], mano.mean_pose[None].cpu(), torch.zeros(1, 10))
    errors = {}
    for name, truth, points in (
        ('PA-MPJPE', joints, mean.joints),
        ('PA-MPVPE', vertices, mean.vertices),
    ):
        points = points.double().numpy().swapaxes(1, 2)
        distances = []
        for start in range(0, len(truth), CHUNK):
            true = np.asarray(truth[start : start + CHUNK], np.float64).swapaxes(1, 2)
            moved, _ = align(true, np.repeat(points, len(true), axis=0))
            distances.append(np.sqrt(np.square(true - moved).sum(1)).mean(1))
        errors[name] = 1000 * float(np.concatenate(distances).mean())
    return errors
