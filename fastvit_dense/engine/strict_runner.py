"""mmengine's runner, but what cannot be built or loaded is told, or refused."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from ..checkpoints.model import fitting_weights, load_model_state
from ..config.building import explained_building
from ..errors import CheckpointError
from .console import quiet_console
from .workers import guard_workers


class StrictRunner(Runner):
    """mmengine's runner, which would silently take whatever part of the weights fits.

    What it builds only when it runs (dataloaders, optimizer, loops) is explained, too.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build mmengine's log, of which the console gets what is news."""
        return quiet_console(super().build_logger(*args, **kwargs))

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build a visualizer of this run alone; by its name a second run gets that of the first."""
        if isinstance(visualizer, dict) and 'name' in visualizer:
            visualizer = {**visualizer, 'name': f'{visualizer["name"]}_{self._experiment_name}'}
        return super().build_visualizer(visualizer)

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """Build a dataloader whose processes end with this one."""
        return guard_workers(Runner.build_dataloader(*args, **kwargs))

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
        super().resume(filename, *args, **kwargs)

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
