"""mmengine's runner, but weights that do not fit the model are told, or refused."""

import logging
from typing import Any

from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from .checkpoint import (
    CheckpointError,
    CheckpointMismatch,
    compare,
    find_state_dict,
    load_model_state,
)

SMALLEST_SHARE = 0.1  # of the model's tensors that a file to start from must fill


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


def fitting_weights(model: nn.Module, path: str) -> tuple[dict[str, Tensor], str]:
    """Read the tensors of a checkpoint that have a model's names and shapes.

    Args:
        model: it is not changed.
        path: a file or address, as mmengine takes it. Of averaged and other weights in it, the
            averaged are taken.

    Returns:
        The tensors, and a line that tells how many there are and which are not loaded.

    Raises:
        CheckpointError: the file cannot be read.
        CheckpointMismatch: less than a tenth of the model's tensors are in it, or there is NaN.
    """
    from .backbones.pretrained import explain_model

    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    state = find_state_dict(checkpoint, path)[1]
    state = {name.removeprefix('module.'): tensor for name, tensor in state.items()}
    needed = model.state_dict()
    fitting = {n: t for n, t in state.items() if n in needed and needed[n].shape == t.shape}
    wanted = [name for name in needed if not name.endswith('num_batches_tracked')]
    count = sum(name in fitting for name in wanted)
    report = f'load_from {path}: {count} of the {len(wanted)} tensors of the model are loaded'
    problems = compare(state, needed)
    broken = compare(fitting, {name: needed[name] for name in fitting})
    if broken or count < SMALLEST_SHARE * len(wanted):
        why = 'tensors are damaged' if broken else f'{count} of its {len(wanted)} tensors fit'
        hint = explain_model(state, needed)
        raise CheckpointMismatch(
            '\n'.join([f'{path} does not fit the model: {why}', *problems, *hint])
        )
    return fitting, '; '.join([report, *(problem.strip() for problem in problems)])
