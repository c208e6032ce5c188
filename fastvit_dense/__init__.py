"""FastViT for dense prediction; importing this package registers its types with OpenMMLab."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .backbones import FastViT, reparameterize
    from .checkpoints.pretrained import load_pretrained
    from .errors import CheckpointMismatch
    from .inference import load_model

__all__ = [
    'CheckpointMismatch',
    'FastViT',
    '__version__',
    'load_model',
    'load_pretrained',
    'reparameterize',
]

# public name -> module that holds it, imported when the name is first used
_PLACES = {
    'CheckpointMismatch': 'errors',
    'FastViT': 'backbones.fastvit',
    'load_model': 'inference.predictor',
    'load_pretrained': 'checkpoints.pretrained',
    'reparameterize': 'backbones.reparam',
}

try:
    from .integration import install

    install()
    _failure = None
except Exception as error:  # the environment's report must get past a missing or broken library
    _failure = error


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        if _failure is not None:
            raise _failure
        value = getattr(import_module(f'{__name__}.{_PLACES[name]}'), name)
    except Exception as error:
        from .compat.environment import explain

        if reason := explain(error):
            raise ImportError(reason) from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
