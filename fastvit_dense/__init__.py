"""FastViT for dense prediction; importing this package registers its types with OpenMMLab.

The import is light: what a public name needs is imported when the name is first used. What it
changes in other libraries stands in `fastvit_dense.integration`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .integration import install
from .version import __version__

if TYPE_CHECKING:
    from .backbones import FastViT, MobileViT, reparameterize
    from .checkpoints.pretrained import load_pretrained
    from .errors import CheckpointMismatch
    from .inference import BatchPredictor, load_model

__all__ = [
    'BatchPredictor',
    'CheckpointMismatch',
    'FastViT',
    'MobileViT',
    '__version__',
    'load_model',
    'load_pretrained',
    'reparameterize',
]

# public name -> module that holds it
_PLACES = {
    'BatchPredictor': 'inference.columns',
    'CheckpointMismatch': 'errors',
    'FastViT': 'backbones.fastvit',
    'MobileViT': 'backbones.mobilevit',
    'load_model': 'inference.predictor',
    'load_pretrained': 'checkpoints.pretrained',
    'reparameterize': 'backbones.reparam',
}
_PACKAGES = ('backbones', 'checkpoints', 'datasets', 'evaluation', 'hand', 'inference')

install()


def __getattr__(name: str) -> Any:
    if name not in _PLACES and name not in _PACKAGES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        module = import_module(f'{__name__}.{_PLACES.get(name, name)}')
    except Exception as error:
        from .compat.environment import explain

        if reason := explain(error):
            raise ImportError(reason) from error
        raise
    value = getattr(module, name) if name in _PLACES else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith('__')), *__all__, *_PACKAGES})
