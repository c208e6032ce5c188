"""The third task: MANO hand meshes from single images."""

from .mano import Mano, ManoModel, ManoOutput
from .standin import standin_mano

__all__ = ['Mano', 'ManoModel', 'ManoOutput', 'standin_mano']
