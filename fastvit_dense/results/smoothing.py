"""Hands of a video made steady: the 1-euro filter (Casiez, Roussel and Vogel, CHI 2012)."""

import math
from dataclasses import replace

import numpy as np

from .hand import HandResult

SLOWEST = 1.0  # cutoff of a hand at rest, Hz
FASTER = 8.0  # cutoff gained per metre a second
SPEED = 1.0  # cutoff of the speed itself, Hz
SMOOTHED = ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas')


class HandSmoother:
    """Smooth the hands of a video, one after another.

    A hand at rest is smoothed most, one that moves lags least. All of a hand has one weight, by the
    speed of its joints, so that joints and mesh stay together.
    """

    def __init__(self) -> None:
        self.last: dict[str, np.ndarray] | None = None
        self.raw: np.ndarray = np.zeros(0)
        self.speed = 0.0
        self.time = 0.0

    def __call__(self, result: HandResult, seconds: float) -> HandResult:
        """Return a hand smoothed; `seconds` is its time in the video."""
        now = {name: np.asarray(getattr(result, name), np.float64) for name in SMOOTHED}
        step = seconds - self.time
        if self.last is None or step <= 0:
            self.last, self.raw, self.time = now, now['joints'], seconds
            return result
        speed = float(np.linalg.norm(now['joints'] - self.raw, axis=1).mean()) / step
        self.speed += _weight(SPEED, step) * (speed - self.speed)
        weight = _weight(SLOWEST + FASTER * self.speed, step)
        mixed = {n: self.last[n] + weight * (now[n] - self.last[n]) for n in SMOOTHED}
        for name in ('global_orient', 'hand_pose'):
            mixed[name] = _nearest_rotations(mixed[name])
        self.last, self.raw, self.time = mixed, now['joints'], seconds
        return replace(result, **{n: array.astype(np.float32) for n, array in mixed.items()})


def _weight(cutoff: float, step: float) -> float:
    """The weight of a new value, of a low-pass filter of first order."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


def _nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """The rotations nearest to matrices (..., 3, 3)."""
    left, _, right = np.linalg.svd(matrices)
    sign = np.linalg.det(left @ right)
    left[..., 2] *= sign[..., None]
    return left @ right
