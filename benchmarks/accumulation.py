"""A training step in parts (`train --accumulate auto`) beside mmengine's own, in turns.

python -m benchmarks.accumulation semfpn_fastvit_t8

Random weights and pictures, one process. Printed are seconds of a step, and its length over that of
mmengine's: with memory enough (the whole batch at once), and in as many parts as memory asks for.
"""

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope, init_default_scope

from benchmarks.gpu.training_step import make_batch
from benchmarks.timing import time_in_turns
from fastvit_dense.engine.memory import AT_ONCE, StepInParts
from fastvit_dense.inference.predictor import build_model
from fastvit_dense.tasks.config import load_config


def main() -> None:
    """Print a line for each number of parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--size', type=int, default=128, help='side of the pictures (%(default)s)')
    parser.add_argument('--rounds', type=int, default=10)
    args = parser.parse_args()
    cfg = load_config(args.config, pretrained=False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        times = time_in_turns(
            make_steps(cfg, args.batch_size, args.size), rounds=args.rounds, warm_up=2
        )
    reference = times['whole, mmengine']
    for name, timing in times.items():
        slower = reference.times_faster_than(timing)
        low, high = slower.quartiles
        print(
            f'{name}: {timing.median:.3f} s a step, {slower.median:.3f} times as long '
            f'[{low:.3f}, {high:.3f}]'
        )


def make_steps(cfg: Config, batch_size: int, size: int) -> dict[str, Callable[[], object]]:
    """Prepare steps of one model: mmengine's, and ours with ever fewer pictures at once."""
    if cfg.model.get('decode_head', {}).get('norm_cfg', {}).get('type') == 'SyncBN':
        cfg.model.decode_head.norm_cfg.type = 'BN'
    if cfg.model.data_preprocessor.get('size'):
        cfg.model.data_preprocessor.size = (size, size)
    torch.manual_seed(0)
    init_default_scope(cfg.default_scope)
    model: Any = build_model(cfg).train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = make_batch(cfg, (batch_size, size, size), 'cpu')
    data = {
        'inputs': [(picture * 40 + 128).clamp(0, 255).byte() for picture in batch['inputs']],
        'data_samples': batch['data_samples'],
    }
    steps: dict[str, Callable[[], object]] = {
        'whole, mmengine': lambda: BaseModel.train_step(model, data, optim_wrapper)
    }
    at_once = batch_size
    while at_once:
        name = 'whole, ours' if at_once == batch_size else f'{at_once} pictures at once'
        steps[name] = _step_of(model, at_once, data, optim_wrapper)
        at_once //= 2
    return steps


def _step_of(model: Any, at_once: int, data: dict, optim_wrapper: Any) -> Callable[[], object]:
    hub = MessageHub.get_instance(f'at_once_{at_once}')
    hub.update_info(AT_ONCE, at_once)
    step = StepInParts(SimpleNamespace(model=model, message_hub=hub))  # type: ignore[arg-type]
    return lambda: step(data, optim_wrapper)


if __name__ == '__main__':
    main()
