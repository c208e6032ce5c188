"""The third task: MANO hand meshes from single images."""

from . import transforms  # noqa: F401  (registers them)
from .freihand import FreiHAND
from .heads import ManoHead, ManoTokenHead
from .mano import Mano, ManoModel, ManoOutput
from .mano_io import ManoFileError, read_mano, save_npz
from .regressor import HandMeshRegressor
from .standin import standin_mano

__all__ = [
    'FreiHAND',
    'HandMeshRegressor',
    'Mano',
    'ManoFileError',
    'ManoHead',
    'ManoModel',
    'ManoOutput',
    'ManoTokenHead',
    'read_mano',
    'save_npz',
    'standin_mano',
]
