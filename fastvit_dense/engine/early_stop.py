"""Training that ends where its score no longer rises."""

from typing import Any

from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

STATE = 'early_stop'  # in the message hub: the best score, and validations since


@HOOKS.register_module()
class EarlyStopHook(EarlyStoppingHook):
    """mmengine's `EarlyStoppingHook` with the same arguments; a resumed run goes on counting.

    It stands before the hook that saves checkpoints, so that the checkpoint of a validation holds
    its count.
    """

    priority = 'LOW'

    def before_run(self, runner: Runner) -> None:
        """Look at the loop of a training; a test has none."""
        if runner.train_loop is not None:
            super().before_run(runner)

    def before_train(self, runner: Runner) -> None:
        """Take up the count of the run that is resumed."""
        self.best_score, self.wait_count = runner.message_hub.runtime_info.get(
            STATE, (self.best_score, self.wait_count)
        )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Count the validation, and stop after too many without a better score."""
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(STATE, [float(self.best_score), self.wait_count])
