"""FastViT for dense prediction; importing this package registers its types with OpenMMLab."""

import sys

from . import environment
from .version import __version__

try:
    from . import checkpoint, openmmlab

    openmmlab.install()
    checkpoint.install()

    from . import distributed, evaluation, seeding  # noqa: F401
    from .backbones import FastViT, reparameterize
    from .backbones.pretrained import load_pretrained
    from .checkpoint import CheckpointMismatch
    from .datasets import loading  # noqa: F401
    from .hand import freihand, transforms  # noqa: F401
    from .inference import load_model
except Exception as error:
    environment.import_error = error
    # `python -m fastvit_dense` reports what is wrong, so it must get past this.
    if sys.argv[:1] != ['-m']:
        if reason := environment.explain(error):
            raise ImportError(reason) from error
        raise

__all__ = [
    'CheckpointMismatch',
    'FastViT',
    '__version__',
    'load_model',
    'load_pretrained',
    'reparameterize',
]
