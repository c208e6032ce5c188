"""Training and evaluation by several processes, on GPUs or on CPUs."""

import os
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast, init_dist, is_distributed
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..config.walk import dicts_of
from ..errors import ConfigError
from .workers import timeout_of

# launcher: what starts the processes, and the variables that it hands them, the rank first
LAUNCHERS = {
    'pytorch': (
        'torchrun --nproc_per_node 8 -m fastvit_dense train CONFIG --launcher pytorch',
        ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'),
    ),
    'slurm': (
        'srun ... python -m fastvit_dense train CONFIG --launcher slurm',
        ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    ),
    'mpi': (
        'mpirun -x MASTER_ADDR=HOST ... python -m fastvit_dense train CONFIG --launcher mpi',
        (*(f'OMPI_COMM_WORLD_{name}' for name in ('RANK', 'SIZE', 'LOCAL_RANK')), 'MASTER_ADDR'),
    ),
}


def join_processes(cfg: Config) -> None:
    """Make this process one of those that `cfg.launcher` started, once; nothing for 'none'.

    Raises:
        ConfigError: The launcher did not start this process.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    gpu = torch.cuda.is_available()
    if not gpu:  # by default mmengine wraps the model for the GPU of this process's number
        wrapper = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {})}
    if not is_distributed():
        _check_launcher(launcher)
        if launcher == 'mpi':  # where mmengine's runner looks
            os.environ['LOCAL_RANK'] = os.environ['OMPI_COMM_WORLD_LOCAL_RANK']
        dist_cfg = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
        _init(launcher, {**dist_cfg, 'timeout': timeout_of(cfg)}, gpu)


def is_first_process(launcher: str) -> bool:
    """Tell whether this is the process of rank 0, before the processes have met."""
    return launcher == 'none' or os.environ.get(LAUNCHERS[launcher][1][0], '0') == '0'


def _check_launcher(launcher: str) -> None:
    command, variables = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise ConfigError(
            f'--launcher {launcher}: {missing[0]} is not set: this process was not started by the '
            f'launcher; expected {command}'
        )


def _init(launcher: str, dist_cfg: dict, gpu: bool) -> None:
    if gpu:
        init_dist(launcher, **dist_cfg)
        return
    print_log('no GPU: processes exchange gradients through gloo', 'current')
    set_device, torch.cuda.set_device = torch.cuda.set_device, lambda device: None
    try:  # mmengine selects a GPU whether there is one or not
        init_dist(launcher, **{**dist_cfg, 'backend': 'gloo'})
    finally:
        torch.cuda.set_device = set_device


def adapt_sync_bn(cfg: Config) -> None:
    """Put plain BN in place of SyncBN where there is one process or no GPU, with a log line."""
    alone = cfg.get('launcher', 'none') == 'none'
    if (alone or not torch.cuda.is_available()) and _replace_sync_bn(cfg.model):
        print_log('one process or no GPU: plain BN in place of SyncBN', 'current')


def _replace_sync_bn(model: Any) -> int:
    """Name BN where a norm is SyncBN; return how often."""
    count = 0
    for _, part in dicts_of(model):
        for key in ('type', 'norm_cfg', 'out_norm'):
            if part.get(key) == 'SyncBN':
                part[key] = 'BN'
                count += 1
    return count


@HOOKS.register_module()
class SameBuffersHook(Hook):
    """Validate on all processes with the buffers of the first, which are those that are saved.

    Each process keeps BatchNorm statistics of its own pictures. Without this the numbers of a
    validation would belong to no checkpoint.
    """

    priority = 'VERY_HIGH'

    @torch.no_grad()
    def before_val(self, runner: Runner) -> None:
        """Hand the first process's buffers to all."""
        for buffer in runner.model.buffers():
            broadcast(buffer)
