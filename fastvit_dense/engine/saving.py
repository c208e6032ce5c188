"""Saving while training: what a checkpoint replaces is removed once it is whole."""

import hashlib
import math
import pickle
import time
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ..checkpoints.latest import WRITTEN
from ..checkpoints.reader import load_checkpoint_file
from ..checkpoints.writing import remove_leftovers, save_whole, write_whole
from .loops import VALIDATED, steps_before
from .work_dir import POINTER

# entry of the message hub, which is saved with a checkpoint
FORMER = 'former_best'  # names of best checkpoints that give way to those saved before this one


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's `CheckpointHook` with the same arguments and files, in a safe order.

    A checkpoint is written, then `last_checkpoint`, and only then are older and former best files
    removed; those that a killed run did not get to are removed when it is resumed. A checkpoint
    that was to be validated when its run was killed is validated first.

    `StrictRunner` uses it wherever a config names `CheckpointHook`.
    """

    def before_train(self, runner: Runner) -> None:
        """Make the folder, clear up after a killed run, and validate what it did not."""
        super().before_train(runner)
        self._find_best(runner)
        if is_main_process() and '://' not in self.out_dir:
            Path(self.out_dir).mkdir(parents=True, exist_ok=True)
            for name in remove_leftovers(self.out_dir):
                runner.logger.info(f'{name}, which a killed run did not complete, is removed')
        self._remove(runner.message_hub.runtime_info.get(FORMER, []))
        if _awaits_validation(runner):
            step = runner.epoch if self.by_epoch else runner.iter
            self.last_ckpt = self._path(self.filename_tmpl.format(step))
            runner.logger.info('its run ended before this checkpoint was validated: done now')
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the time of writing, and the ids of the classes in the training annotations."""
        checkpoint['meta'][WRITTEN] = time.time()
        ids = _category_ids(runner.train_dataloader.dataset)
        if ids:
            checkpoint['meta']['category_ids'] = ids

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Note that it was validated, and save the best."""
        runner.message_hub.update_info(VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Write a checkpoint and the file that names it, then remove the oldest."""
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        oldest: list[int] = []
        if self.max_keep_ckpts > 0:
            steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
            # with the oldest: who resumes from this file removes it, if need be
            runner.message_hub.update_info('keep_ckpt_ids', steps)
            oldest = steps[: -self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(steps, self.max_keep_ckpts)
        save_to_go_on(runner, self, name, meta, self.by_epoch)
        self._remove([self.filename_tmpl.format(step) for step in oldest])
        if oldest:
            runner.message_hub.update_info('keep_ckpt_ids', steps[len(oldest) :])

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Write the best checkpoints, the last one again, then remove the former best ones."""
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        hub = runner.message_hub
        better = [key for key in self.key_indicators if self._is_best(runner, key, metrics[key])]
        names = {key: f'best_{key}_{self.filename_tmpl.format(step)}' for key in better}
        names = {key: name.replace('/', '_') for key, name in names.items()}
        kept = set(names.values())
        former = [hub.runtime_info.get(f'best_ckpt{self._suffix(key)}') for key in better]
        former = [name for path in former if path and (name := Path(path).name) not in kept]
        for key, name in names.items():
            hub.update_info(f'best_score{self._suffix(key)}', metrics[key])
            hub.update_info(f'best_ckpt{self._suffix(key)}', self._path(name))
        hub.update_info(FORMER, former)
        self._find_best(runner)
        for key, name in names.items():
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=False,
                save_param_scheduler=False,
                meta=dict(meta),
                by_epoch=False,
                backend_args=self.backend_args,
            )
            runner.logger.info(
                f'The best checkpoint with {metrics[key]:0.4f} {key} at {step} '
                f'{"epoch" if self.by_epoch else "iter"} is saved to {name}.'
            )
        if better and self.last_ckpt is not None:  # so that it knows the best ones
            self._save_checkpoint_with_step(runner, step, meta)
        self._remove(former)

    def _is_best(self, runner: Runner, key: str, score: float | None) -> bool:
        rule = self.rules[self.key_indicators.index(key)]
        best = runner.message_hub.runtime_info.get(
            f'best_score{self._suffix(key)}', self.init_value_map[rule]
        )
        finite = score is not None and math.isfinite(score)
        return finite and bool(self.is_better_than[key](score, best))

    def _suffix(self, key: str) -> str:
        """Of the message hub's entries for a metric, as mmengine names them."""
        return f'_{key}' if len(self.key_indicators) > 1 else ''

    def _find_best(self, runner: Runner) -> None:
        """Take the best checkpoints from the message hub, by name: the folder may have moved."""
        if not self.save_best:
            return
        info = runner.message_hub.runtime_info
        paths = {key: info.get(f'best_ckpt{self._suffix(key)}') for key in self.key_indicators}
        paths = {key: path and self._path(Path(path).name) for key, path in paths.items()}
        if len(paths) == 1:
            self.best_ckpt_path = next(iter(paths.values()))
        else:
            self.best_ckpt_path_dict = paths

    def _path(self, name: str) -> str:
        return str(self.file_backend.join_path(self.out_dir, name))

    @master_only
    def _remove(self, names: list[str]) -> None:
        for path in map(self._path, names):
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # deepspeed's
                self.file_backend.rmtree(path)

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        """Save what `published_keys` names under a name that carries the content's hash."""
        checkpoint = load_checkpoint_file(ckpt_path)
        kept = {key: checkpoint[key] for key in self.published_keys if key in checkpoint}
        digest = hashlib.sha256(pickle.dumps(kept)).hexdigest()
        path = Path(ckpt_path).with_suffix('')
        save_whole(kept, f'{path}-{digest[:8]}.pth')


def _category_ids(dataset: Any) -> list[int] | None:
    """Ids of the classes by label, of a dataset of mmdet in its wrappers; None: it has none."""
    while hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets'):
        dataset = getattr(dataset, 'dataset', None) or dataset.datasets[0]
    ids = getattr(dataset, 'cat_ids', None)
    return [int(number) for number in ids] if ids else None


def save_to_go_on(
    runner: Runner, hook: CheckpointHook, name: str, meta: dict, by_epoch: bool
) -> str:
    """Write a checkpoint, then the file that names the newest one.

    Args:
        runner: In training.
        hook: Says where, and what goes into it.
        name: Of the file.
        meta: `epoch` and `iter`, what is done.
        by_epoch: Whether `meta` is that of whole epochs, as mmengine understands it.

    Returns:
        Its path.
    """
    runner.save_checkpoint(
        hook.out_dir,
        name,
        hook.file_client_args,
        save_optimizer=hook.save_optimizer,
        save_param_scheduler=hook.save_param_scheduler and runner.param_schedulers is not None,
        meta=meta,
        by_epoch=by_epoch,
        backend_args=hook.backend_args,
        **hook.args,
    )
    path = str(hook.file_backend.join_path(hook.out_dir, name))
    if is_main_process():
        write_whole(path.encode(), Path(runner.work_dir, POINTER))
    return path


def _awaits_validation(runner: Runner) -> bool:
    """Tell whether a resumed run ended between a checkpoint and the validation due after it."""
    loop = runner.train_loop
    if not runner.iter or runner.val_loop is None:
        return False
    if runner.message_hub.runtime_info.get(VALIDATED) == runner.iter:
        return False
    if isinstance(loop, EpochBasedTrainLoop) and loop.iter == steps_before(
        loop.dataloader, loop.epoch
    ):
        done, last = loop.epoch, loop.max_epochs
    elif isinstance(loop, IterBasedTrainLoop):
        done, last = loop.iter, loop.max_iters
    else:
        return False
    loop._decide_current_val_interval()
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
