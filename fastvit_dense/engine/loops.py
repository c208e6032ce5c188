"""A training loop that goes on within an epoch."""

import logging
from itertools import islice
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

# entries of the message hub, which is saved with a checkpoint
# batches of the epoch that were done when it was saved, of how many
BATCHES_DONE = 'batches_of_epoch_done'
# after how many iterations training was last validated; as 'val...' logs would show it
VALIDATED = 'iter_validated'


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's `EpochBasedTrainLoop`; an epoch that a signal cut short is completed.

    The batches that are left are those of the uninterrupted epoch, random numbers included. Epochs
    may differ in length, as those of `MultiScaleBatchSampler` do.
    """

    done = 0  # batches of the first epoch

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_iters = steps_before(self.dataloader, self.max_epochs)

    def run(self) -> nn.Module:
        """Train, from the batch at which the run that is resumed was saved."""
        self.done = self._batches_done()
        return super().run()

    def run_epoch(self) -> None:
        """Train one epoch, or what is left of it."""
        done, self.done = self.done, 0
        if not done:
            super().run_epoch()
            return
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(rest_of(self.dataloader, done), done):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches_done(self) -> int:
        """Batches of the epoch to come that are done; told once."""
        done, total = self.runner.message_hub.runtime_info.pop(BATCHES_DONE, (0, 0))
        before, after = (steps_before(self.dataloader, self.epoch + i) for i in (0, 1))
        if done and total != after - before:
            print_log(
                f'--resume: the checkpoint was saved after {done} of {total} steps of an epoch, '
                f'which has {after - before} now (other data, batch size or number of '
                'processes): the epoch starts anew',
                'current',
                logging.WARNING,
            )
            self._iter = before
            return 0
        return done


def recount(loop: Any) -> bool:
    """Count the steps of a resumed loop anew where its epochs have, or had, another length.

    What was validated stays so.

    Returns:
        Whether they had.
    """
    if not isinstance(loop, EpochBasedTrainLoop):
        return False
    hub = loop.runner.message_hub
    before, after = (steps_before(loop.dataloader, loop.epoch + i) for i in (0, 1))
    done, total = hub.runtime_info.get(BATCHES_DONE, (0, 0))
    place = before + done if total == after - before else before
    if loop.iter == place:
        return False
    if hub.runtime_info.get(VALIDATED) == loop.iter - done:
        hub.update_info(VALIDATED, before)
    loop._iter = place
    return True


def steps_before(loader: DataLoader, epoch: int) -> int:
    """Training steps of all epochs before one of them, counted from 0."""
    steps = getattr(loader.batch_sampler, 'steps', None)
    return sum(map(steps, range(epoch))) if steps else epoch * len(loader)


def rest_of(loader: DataLoader, done: int) -> DataLoader:
    """A dataloader of the batches that the next epoch of another one gives after `done` of them."""
    return DataLoader(
        loader.dataset,
        batch_sampler=list(islice(loader.batch_sampler, done, None)),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        prefetch_factor=loader.prefetch_factor,
    )


def use_resumable_loop(cfg: Config) -> None:
    """Put our loop in place of mmengine's `EpochBasedTrainLoop` of a config; others stay."""
    if cfg.train_cfg.get('type') == 'EpochBasedTrainLoop':
        cfg.train_cfg.type = 'ResumableEpochLoop'
