"""mmengine's runner, but what cannot be built, loaded or saved is told, or refused."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..checkpoints.model import fitting_weights, load_model_state
from ..checkpoints.state import non_finite
from ..checkpoints.writing import BACKEND, free_bytes
from ..config.building import explained_building
from ..errors import CheckpointError, NonFiniteError, NotWrittenError, reason_of
from .console import quiet_console
from .loops import recount
from .resumed_settings import SCHEDULE, ResumedSettings
from .saving import WholeCheckpointHook
from .workers import guard_workers

FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# of the state of an optimizer: as large as the parameter, for SGD, Adam and their kin
OF_PARAMETERS = ('momentum_buffer', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq')

_RUNS = count()  # of this process


class StrictRunner(Runner):
    """mmengine's runner, which would silently take whatever part of the weights fits.

    What it builds only when it runs (dataloaders, optimizer, loops) is explained, too. Checkpoints
    appear whole, and none holds NaN or Inf.
    """

    last_whole: Path | None = None  # the checkpoint that training can go on from
    _saved_schedule: list[dict] | None = None  # of the checkpoint that is resumed
    _has_optimizer = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._may_be_inf = non_finite(dict(self.bare_model.named_buffers()))  # Inf by design

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build mmengine's log, of which the console gets what is news.

        Lines that a full disk does not take are left out of its file.

        Each would print a traceback. Checkpoints and scalars tell of it, in one line.
        """
        logger = quiet_console(super().build_logger(*args, **kwargs))
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = _leave_out  # type: ignore[method-assign]
        return logger

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register mmengine's default hooks, and `non_finite`, unless a config says otherwise."""
        hooks = {'non_finite': dict(type='NonFiniteHook'), **(hooks or {})}
        if hooks['non_finite'] is None:
            del hooks['non_finite']
        super().register_default_hooks(hooks)

    def register_hook(self, hook: Hook | dict, priority: int | str | None = None) -> None:
        """Register a hook; in place of mmengine's `CheckpointHook` that of this package."""
        if isinstance(hook, dict):
            priority = hook.pop('priority', None) if priority is None else priority
            settings, hook = hook, HOOKS.build(hook)
            if type(hook) is CheckpointHook:
                names = settings.keys() - {'type', '_scope_'}
                hook = WholeCheckpointHook(**{name: settings[name] for name in names})
        super().register_hook(hook, priority)

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build a visualizer of this run alone; by its name a second run gets that of the first."""
        if isinstance(visualizer, dict) and 'name' in visualizer:
            # two runs of one second have the same `_experiment_name`
            name = f'{visualizer["name"]}_{self._experiment_name}_{next(_RUNS)}'
            visualizer = {**visualizer, 'name': name}
        return super().build_visualizer(visualizer)

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """Build a dataloader whose processes end with this one."""
        return guard_workers(Runner.build_dataloader(*args, **kwargs))

    def train(self) -> nn.Module:
        """Train; an error of what is built first is a ConfigError with its place.

        Raises:
            NotWrittenError: The disk is full or closed, or the work dir is gone.
            NonFiniteError: A loss, gradient or weight is NaN or infinite; see `NonFiniteHook`.
        """
        with explained_building(self.cfg), self._explained_writing():
            return super().train()

    @contextmanager
    def _explained_writing(self) -> Iterator[None]:
        """Tell what is whole where a file cannot be written."""
        try:
            yield
        except NotWrittenError as error:
            raise NotWrittenError(f'{error}; {self._way_back()}') from error
        except OSError as error:
            if error.errno not in FULL_OR_CLOSED and Path(self.work_dir).is_dir():
                raise
            state = (*self.bare_model.state_dict().values(), *_tensors(self.optim_wrapper))
            size = sum(tensor.numel() * tensor.element_size() for tensor in state)
            raise NotWrittenError(
                f'{error.filename or self.work_dir}: cannot be written: {error.strerror}; a '
                f'checkpoint needs about {size:,} bytes, {free_bytes(self.work_dir)} are free; '
                f'{self._way_back()}'
            ) from error

    def _way_back(self) -> str:
        if self.last_whole is None or not self.last_whole.is_file():
            return 'there is no whole checkpoint'
        return f'the last whole checkpoint is {self.last_whole}'

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint, which appears whole; the arguments are mmengine's.

        Raises:
            NotWrittenError: It cannot be written.
            NonFiniteError: The weights are not finite.
        """
        broken = non_finite(self.bare_model.state_dict(), self._may_be_inf)
        if broken:
            raise NonFiniteError(
                f'{Path(out_dir, filename)}: not written: {len(broken)} tensors of the weights '
                f'hold NaN or Inf: {", ".join(broken[:3])}; {self._way_back()}'
            )
        backend_args = kwargs.get('backend_args')
        local = isinstance(get_file_backend(out_dir, backend_args=backend_args), LocalBackend)
        if local:
            kwargs['backend_args'] = dict(backend=BACKEND)
        super().save_checkpoint(out_dir, filename, *args, **kwargs)
        if local and kwargs.get('save_optimizer', True):
            self.last_whole = Path(out_dir, filename)

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
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        settings = ResumedSettings(self)
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
        rate = _rate(self.optim_wrapper)
        changed = settings.put_back(self._saved_schedule, recount(self.train_loop))
        if not self._has_optimizer:
            self.logger.warning(
                f'--resume: {filename}: holds no state of the optimizer, as best checkpoints do '
                'not: its averages start anew; --resume auto takes the newest that has one'
            )
        elif changed:
            own = _rate(self.optim_wrapper)
            self.logger.log(
                logging.INFO if changed == SCHEDULE and own == rate else logging.WARNING,
                f'--resume: {changed}: as this config says, not as {filename} does: lr {own:.4g} '
                f'from step {self.iter + 1} on, there {rate:.4g}',
            )
        self.last_whole = Path(filename)

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
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
            self._saved_schedule = checkpoint.get('param_schedulers')
            self._has_optimizer = 'optimizer' in checkpoint
            return checkpoint
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


def _leave_out(record: logging.LogRecord) -> None:
    """Do nothing about a record that cannot be written."""


def _rate(wrapper: OptimWrapper) -> float:
    """The learning rate that the log shows, of those of an optimizer."""
    rates = wrapper.get_lr()
    return float(rates.get('base_lr', rates['lr'])[0])


def _tensors(optimizer: Any) -> list[Tensor]:
    """Tensors of the state of one optimizer, inside mmengine's wrapper."""
    states = getattr(getattr(optimizer, 'optimizer', None), 'state', {})
    return [
        value for state in states.values() for value in state.values() if torch.is_tensor(value)
    ]
