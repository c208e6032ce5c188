"""Gradients of several steps for one step of the optimizer, through checkpoints as well."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

ENTRY = 'accumulated_gradients'  # of a checkpoint


@HOOKS.register_module()
class AccumulationHook(Hook):
    """Keep the gradients that wait for the optimizer's step in checkpoints to go on from.

    Without it, a run that is resumed between two steps of the optimizer would lose them. Of several
    processes the first one's are kept: there a resumed run may differ by what the others had.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add them where there are any."""
        wrapper = runner.optim_wrapper
        if 'optimizer' not in checkpoint or not wrapper._inner_count % wrapper._accumulative_counts:
            return
        waiting = {
            name: parameter.grad.detach().cpu().clone()
            for name, parameter in _bare(runner).named_parameters()
            if parameter.grad is not None
        }
        if waiting:
            checkpoint[ENTRY] = waiting

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take them from the checkpoint that is resumed."""
        self.kept = checkpoint.get(ENTRY) or {} if runner._resume else {}

    def before_train(self, runner: Runner) -> None:
        """Put them back."""
        for name, parameter in _bare(runner).named_parameters():
            if name in self.kept:
                parameter.grad = self.kept[name].to(parameter)
        self.kept = {}


def _bare(runner: Runner) -> Any:
    return getattr(runner.model, 'module', runner.model)
