"""FastViT for dense prediction; importing this package registers its types with OpenMMLab."""

from . import openmmlab
from .version import __version__

openmmlab.install()

__all__ = ['__version__']
