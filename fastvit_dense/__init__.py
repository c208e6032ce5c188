"""FastViT for dense prediction; importing this package registers its types with OpenMMLab."""

from . import openmmlab
from .version import __version__

openmmlab.install()

from . import seeding  # noqa: E402, F401
from .backbones import FastViT, reparameterize  # noqa: E402

__all__ = ['FastViT', '__version__', 'reparameterize']
