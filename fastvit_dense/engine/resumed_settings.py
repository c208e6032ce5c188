"""Optimizer and schedule of a run that is resumed: where the config has changed, it holds.

mmengine takes rates, weight decay and the whole schedule from the checkpoint. A run that is made
longer would go on at the rate that its first part ended with, mostly zero, and a new rate would
count for nothing.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from .loops import steps_before

# of the state of a scheduler: where it stands
PLACE = {'last_step', '_global_step', '_last_value', 'base_values', 'verbose'}
SCHEDULE = 'param_scheduler'
KNOWN = ('mmengine', 'mmdet')  # whose schedulers have no other state, but for those with scores


class ResumedSettings:
    """Settings of optimizer and schedule in a config, kept before a checkpoint's is loaded.

    Args:
        runner: With its optimizer and schedulers built.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        schedulers = runner.param_schedulers or []
        self.followed = (
            isinstance(runner.optim_wrapper, OptimWrapper)
            and isinstance(schedulers, list)
            and all(type(s).__module__.partition('.')[0] in KNOWN for s in schedulers)
            and not any(getattr(s, 'need_val_args', False) for s in schedulers)
        )
        if self.followed:
            self.groups = [_settings(group) for group in runner.optim_wrapper.param_groups]
            self.states = [copy.deepcopy(s.state_dict()) for s in schedulers]

    def put_back(self, saved: Sequence[Mapping[str, Any]] | None, recounted: bool) -> str:
        """Apply them where they differ from what was loaded, as if they had held from the start.

        Args:
            saved: States of the schedulers in the checkpoint; None where it has none.
            recounted: The run stands at another step than they do.

        Returns:
            What differs, '' for nothing.
        """
        if not self.followed:
            return ''
        runner = self.runner
        schedulers = runner.param_schedulers or []
        driven = {scheduler.param_name for scheduler in schedulers}
        groups = runner.optim_wrapper.param_groups
        if len(groups) != len(self.groups):  # a wrapper that kept its first settings, or did not
            return ''
        changed = {
            name.removeprefix('initial_')
            for loaded, own in zip(groups, self.groups, strict=True)
            for name in loaded.keys() & own.keys() - driven
            if _plain(loaded[name]) != _plain(own[name])
        }
        same = list(map(_fixed, saved or [])) == list(map(_fixed, self.states))
        if self.states and (recounted or not same):
            changed.add(SCHEDULE)
        if not changed:
            return ''
        for loaded, own in zip(groups, self.groups, strict=True):
            loaded.update(own)
        for scheduler, state in zip(schedulers, self.states, strict=True):
            vars(scheduler).update(state)
        _go_through(schedulers, runner)
        return ', '.join(sorted(changed))


def _go_through(schedulers: Iterable[Any], runner: Runner) -> None:
    """Step schedulers from the start of a run to where it stands."""
    loop = runner.train_loop
    ends: set[int] = set()
    if isinstance(loop, EpochBasedTrainLoop):
        ends = {steps_before(loop.dataloader, done + 1) for done in range(loop.epoch)}
    for scheduler in schedulers:  # else they warn that no step was made
        scheduler.optimizer._global_step = max(loop.iter, 1)
    for step in range(1, loop.iter + 1):
        for by_epoch in (False, True) if step in ends else (False,):
            for scheduler in schedulers:
                if scheduler.by_epoch is by_epoch:
                    scheduler.step()


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group without its parameters."""
    return {name: copy.copy(value) for name, value in group.items() if name != 'params'}


def _fixed(state: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a state that does not change as it steps."""
    return {name: _plain(value) for name, value in state.items() if name not in PLACE}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
