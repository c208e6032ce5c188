"""mmengine's runner, but weights that do not fit the model are told, or refused."""

import logging
from typing import Any

from mmengine.runner import Runner
from torch import nn

from ..checkpoints.model import fitting_weights, load_model_state
from ..errors import CheckpointError


class StrictRunner(Runner):
    """mmengine's runner, which would silently take whatever part of the weights fits."""

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Continue from a checkpoint that fits the model wholly.

        Raises:
            CheckpointError: The file cannot be read or holds no state of training.
            CheckpointMismatch: It is of another model.
        """
        meta = load_model_state(self._bare_model, filename)
        if 'iter' not in meta:
            raise CheckpointError(
                f'{filename}: holds weights, but not where training stood (meta.iter); --resume '
                'needs a checkpoint that training wrote. To start from these weights: '
                f'--cfg-options load_from={filename}'
            )
        super().resume(filename, *args, **kwargs)

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Start from the weights of `load_from`, which need not be of the same heads.

        See `fitting_weights`; a line in the log tells what was loaded and what was not.
        """
        if self._resume:  # `resume` has compared them
            return super().load_checkpoint(filename, *args, **kwargs)
        model = self._bare_model
        fitting, report = fitting_weights(model, filename)
        # whole, so that the hook that keeps averaged weights has nothing to miss
        checkpoint = {'state_dict': {**model.state_dict(), **fitting}}
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model.load_state_dict(checkpoint['state_dict'])
        self._has_loaded = True
        self.logger.log(logging.WARNING if ';' in report else logging.INFO, report)
        return checkpoint

    @property
    def _bare_model(self) -> nn.Module:
        return getattr(self.model, 'module', self.model)
