"""A whole training in a second: a linear layer, six numbers, and a score that goes up and down."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.engine.strict_runner import StrictRunner
from fastvit_dense.engine.work_dir import latest_checkpoint

SCORES = {0: 0.0, 1: 0.3, 2: 0.7, 3: 0.5, 4: 0.9, 5: 0.1}  # after every second iteration


class Numbers(Dataset):
    """Each sample is a number."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {'inputs': torch.tensor([float(index), 1.0])}


class Small(BaseModel):
    """A layer with BatchNorm and dropout; its loss is `scale` times a mean square."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.3))
        self.scale = 1.0

    def forward(self, inputs, mode='tensor'):
        out = self.body(torch.stack(inputs))
        return {'loss_a': out.square().mean() * self.scale, 'acc': out.mean()}

    def val_step(self, data):
        return [data]


class Score(BaseMetric):
    """A score that depends on where training stands."""

    runner: StrictRunner

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return {'score': SCORES[self.runner.iter // 2]}


def small_config(work_dir: Path, **checkpoint) -> Config:
    """Four epochs of two iterations; a checkpoint, one older one and the best are kept."""
    hook = dict(type='CheckpointHook', interval=1, max_keep_ckpts=1, save_best='score')
    return Config(
        dict(
            work_dir=str(work_dir),
            default_hooks=dict(checkpoint={**hook, 'rule': 'greater', **checkpoint}),
        )
    )


def small_runner(cfg: Config, epochs: int = 4, hooks=(), **settings) -> StrictRunner:
    """A runner that goes on from the newest checkpoint of the work dir, if there is one."""
    metric = Score()
    found = latest_checkpoint(cfg)
    loader = dict(batch_size=3, num_workers=0, dataset=Numbers())
    arguments = dict(
        work_dir=cfg.work_dir,
        train_dataloader=dict(loader, sampler=dict(type='SeededSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=epochs)],
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=Evaluator(metric),
        default_hooks=cfg.default_hooks.to_dict(),
        custom_hooks=[dict(type='SeedHook'), *hooks],
        randomness=dict(seed=1),
        default_scope='mmengine',
        experiment_name=f'small_{Path(cfg.work_dir).parent.name}_{Path(cfg.work_dir).name}',
        resume=found is not None,
        load_from=found and str(found),
    )
    runner = StrictRunner(Small(), **{**arguments, **settings})
    metric.runner = runner
    return runner


def checkpoints(work_dir: Path) -> dict[str, dict]:
    """Checkpoints of a folder by name; every file of that kind, hidden ones too, is readable."""
    return {path.name: load_checkpoint_file(path) for path in sorted(work_dir.glob('*.pth'))}


def assert_same_end(one: Path, other: Path) -> None:
    """Two folders hold the same checkpoints: names, weights, optimizer, scores, best one."""
    left, right = checkpoints(one), checkpoints(other)
    assert left.keys() == right.keys()
    for name in left:
        for entry in ('state_dict', 'optimizer', 'param_schedulers'):
            assert str(left[name].get(entry)) == str(right[name].get(entry)), (name, entry)
        for key in ('best_score', 'best_ckpt', 'keep_ckpt_ids', 'iter_validated'):
            values = [side[name]['message_hub']['runtime_info'].get(key) for side in (left, right)]
            values = [Path(value).name if key == 'best_ckpt' else value for value in values]
            assert values[0] == values[1], (name, key)
    pointers = [Path((folder / 'last_checkpoint').read_text()).name for folder in (one, other)]
    assert pointers[0] == pointers[1]
