"""FastViT for dense prediction; importing this package registers its types with OpenMMLab."""

from . import checkpoint, openmmlab
from .version import __version__

openmmlab.install()
checkpoint.install()

from . import evaluation, seeding  # noqa: E402, F401
from .backbones import FastViT, reparameterize  # noqa: E402
from .backbones.pretrained import load_pretrained  # noqa: E402
from .checkpoint import CheckpointMismatch  # noqa: E402
from .datasets import loading  # noqa: E402, F401
from .inference import load_model  # noqa: E402

__all__ = [
    'CheckpointMismatch',
    'FastViT',
    '__version__',
    'load_model',
    'load_pretrained',
    'reparameterize',
]
