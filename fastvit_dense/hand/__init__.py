"""The hand model that no library supplies: MANO, cameras, heads, losses and the regressor."""

from .heads import ManoHead, ManoTokenHead
from .mano import Mano, ManoModel, ManoOutput
from .mano_io import read_mano, save_npz
from .regressor import HandMeshRegressor
from .standin import standin_mano

__all__ = [
    'HandMeshRegressor',
    'Mano',
    'ManoHead',
    'ManoModel',
    'ManoOutput',
    'ManoTokenHead',
    'read_mano',
    'save_npz',
    'standin_mano',
]
