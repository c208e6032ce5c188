"""FastViT for dense prediction; importing this package registers its types with OpenMMLab."""

from .version import __version__

__all__ = ['__version__']
