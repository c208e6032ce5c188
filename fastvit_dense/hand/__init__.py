"""The third task: MANO hand meshes from single images."""

from .mano import Mano, ManoModel, ManoOutput
from .mano_io import ManoFileError, read_mano, save_npz
from .standin import standin_mano

__all__ = [
    'Mano',
    'ManoFileError',
    'ManoModel',
    'ManoOutput',
    'read_mano',
    'save_npz',
    'standin_mano',
]
