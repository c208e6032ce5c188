"""Steps of one picture, which a BatchNorm on a pooled map cannot train on."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ConfigError
from .strict_runner import StrictRunner

SIGN = 'Expected more than 1 value per channel when training'


@contextmanager
def explained_lone_picture(runner: StrictRunner) -> Iterator[None]:
    """Tell in one line of a step whose BatchNorm saw a single value of each channel.

    Raises:
        ConfigError: There was one.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(SIGN):
            raise
        raise ConfigError(
            f'{runner.cfg.filename or "config"}: train_dataloader.batch_size: a step had one '
            f'picture, of which the BatchNorm {_norm_of(error, runner.bare_model)} sees one value '
            'per channel, and trains on none; expected batches of at least 2 pictures (of '
            'MultiScaleBatchSampler at every size) and drop_last=True where the last may be '
            "short, or norm_cfg=dict(type='GN', num_groups=32) in its head"
        ) from error


def _norm_of(error: ValueError, model: nn.Module) -> str:
    """Name the module that raised."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    raised = [f.f_locals['self'] for f in frames if isinstance(f.f_locals.get('self'), _BatchNorm)]
    names = (f'model.{name}' for name, module in model.named_modules() if module in raised)
    return next(names, 'of the model')
