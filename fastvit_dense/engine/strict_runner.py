"""mmengine's runner, but what cannot be built or loaded is told, or refused."""

import logging
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn

from ..checkpoints.model import fitting_weights, load_model_state
from ..config.building import explained_building
from ..errors import CheckpointError, reason_of

# of the state of an optimizer: as large as the parameter, for SGD, Adam and their kin
OF_PARAMETERS = ('momentum_buffer', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq')


class StrictRunner(Runner):
    """mmengine's runner, which would silently take whatever part of the weights fits.

    What it builds only when it runs (dataloaders, optimizer, loops) is explained, too.
    """

    def train(self) -> nn.Module:
        """Train; an error of what is built first is a ConfigError with its place."""
        with explained_building(self.cfg):
            return super().train()

    def test(self) -> dict:
        """Test; an error of what is built first is a ConfigError with its place."""
        with explained_building(self.cfg):
            return super().test()

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Continue from a checkpoint that fits the model wholly.

        Raises:
            CheckpointError: The file cannot be read or holds no state of training.
            CheckpointMismatch: It is of another model.
        """
        meta = load_model_state(self.bare_model, filename)
        if 'iter' not in meta:
            raise CheckpointError(
                f'{filename}: holds weights, but not where training stood (meta.iter); --resume '
                'needs a checkpoint that training wrote. To start from these weights: '
                f'--cfg-options load_from={filename}'
            )
        for name in ('iter', 'epoch'):
            if not isinstance(meta.get(name), int) or not 0 <= meta[name] < 2**53:
                raise CheckpointError(
                    f'{filename}: meta.{name}: expected a count, found {meta.get(name)!r:.40}'
                )
        try:
            super().resume(filename, *args, **kwargs)
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, CheckpointError | torch.OutOfMemoryError):
                raise
            raise CheckpointError(
                f'{filename}: holds no state of training that this run can go on from '
                f'({type(error).__name__}: {reason_of(error).splitlines()[0]:.160})'
            ) from error
        self._check_optimizer_state(filename)

    def _check_optimizer_state(self, filename: str) -> None:
        """See that what the optimizer remembers of a parameter has the parameter's shape."""
        optimizer = getattr(self.optim_wrapper, 'optimizer', None)
        for parameter, state in optimizer.state.items() if optimizer else ():
            for name, value in state.items():
                if name in OF_PARAMETERS and getattr(value, 'shape', None) != parameter.shape:
                    found = getattr(value, 'shape', value)
                    raise CheckpointError(
                        f'{filename}: optimizer: {name}: expected shape {tuple(parameter.shape)}, '
                        f'found {found!r:.40}'
                    )

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Start from the weights of `load_from`, which need not be of the same heads.

        See `fitting_weights`; a line in the log tells what was loaded and what was not.
        """
        if self._resume:  # `resume` has compared them
            return super().load_checkpoint(filename, *args, **kwargs)
        model = self.bare_model
        fitting, report = fitting_weights(model, filename)
        # whole, so that the hook that keeps averaged weights has nothing to miss
        checkpoint = {'state_dict': {**model.state_dict(), **fitting}}
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model.load_state_dict(checkpoint['state_dict'])
        self._has_loaded = True
        self.logger.log(logging.WARNING if ';' in report else logging.INFO, report)
        return checkpoint

    @property
    def bare_model(self) -> nn.Module:
        """The model without what wraps it where several processes train."""
        return getattr(self.model, 'module', self.model)
