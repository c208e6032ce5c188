"""The folder of a run: one run at a time, and no checkpoints of another one lost in it."""

import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from ..checkpoints.latest import newest_whole
from ..errors import CheckpointError, ConfigError

LOCK = '.lock'
NAMES = r'(epoch|iter)_\d+\.pth'
POINTER = 'last_checkpoint'  # a text file that names the newest checkpoint


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it for the length of a block.

    The lock is the process's: it ends with it, however that ends, and the processes that load its
    data do not inherit it. Where the file system has no locks a warning says so.

    Raises:
        ConfigError: Another run has the folder.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with Path(folder, LOCK).open('a+') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock, which workers inherit
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise ConfigError(
                f'{folder}: another run is using it ({file.read().strip() or "just started"}); '
                'wait for its end, end it, or use another --work-dir'
            ) from None
        except OSError as error:
            print_log(
                f'{folder}: its file system has no locks ({error.strerror}): take care that no '
                'other run uses it',
                'current',
                logging.WARNING,
            )
        else:
            file.truncate(0)
            file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
            file.flush()
        yield


def checkpoint_folder(cfg: Config) -> Path:
    """The folder of a run's checkpoints: its work dir, or one of that name in the hook's own."""
    place = _hook(cfg).get('out_dir')
    return Path(place, Path(cfg.work_dir).name) if place else Path(cfg.work_dir)


def checkpoints_of(cfg: Config) -> list[Path]:
    """The checkpoints that a run of this config would write, the best ones last."""
    template = _hook(cfg).get('filename_tmpl')
    names = NAMES
    if template:  # stopped within an epoch, a run writes iter_N.pth all the same
        names = r'iter_\d+\.pth|' + re.sub(r'\\\{.*?\\\}', r'\\d+', re.escape(template))
    ours = re.compile(f'(best_.+_)?({names})')
    paths = [path for path in checkpoint_folder(cfg).glob('*') if ours.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (path.name.startswith('best_'), path.name))


def _hook(cfg: Config) -> dict:
    return cfg.get('default_hooks', {}).get('checkpoint') or {}


def check_unused(cfg: Config) -> None:
    """Refuse a folder in which another training has left checkpoints.

    Raises:
        ConfigError: It holds some; the message names the ways out.
    """
    found = checkpoints_of(cfg)
    if found:
        raise ConfigError(
            f'{checkpoint_folder(cfg)}: holds {len(found)} checkpoints of a training '
            f'({found[0].name}, ...). To continue it: --resume auto; to keep it: another '
            '--work-dir; to delete them and start over: --overwrite'
        )


def latest_checkpoint(cfg: Config, model: nn.Module | None = None) -> Path | None:
    """The checkpoint that `--resume auto` takes; the log tells which were left out and why.

    `last_checkpoint` is not needed: it may name a file that is gone, or one elsewhere.

    Raises:
        CheckpointError: There are checkpoints, but none can be used.
    """
    paths = [path for path in checkpoints_of(cfg) if not path.name.startswith('best_')]
    found, skipped = newest_whole(paths, model)
    reasons = [f'{path}: {reason}' for path, reason in skipped.items()]
    if paths and not found:
        raise CheckpointError(
            f'--resume: {checkpoint_folder(cfg)}: none of its checkpoints can be used; '
            f'{"; ".join(reasons)}. To delete them and start over: --overwrite'
        )
    for reason in reasons:
        print_log(f'--resume: skipped {reason}', 'current', logging.WARNING)
    if found:
        print_log(f'--resume: continuing from {found}', 'current')
    else:
        print_log(
            f'--resume: no checkpoint in {checkpoint_folder(cfg)}: training starts anew, from '
            'random weights; without --resume it would start from the pretrained file, if any',
            'current',
            logging.WARNING,
        )
    return found


class StartOver(Hook):
    """Delete the checkpoints of a former training, once all that the new one needs is there.

    Args:
        cfg: Of the new training.
    """

    priority = 'VERY_HIGH'

    def __init__(self, cfg: Config) -> None:
        self.paths = [Path(cfg.work_dir, POINTER), *checkpoints_of(cfg)]

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Delete them, `last_checkpoint` first."""
        for path in self.paths:
            if path.is_file():
                runner.logger.info(f'--overwrite: {path} is deleted')
                path.unlink()
