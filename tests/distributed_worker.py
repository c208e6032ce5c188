"""What each of two processes runs, started by torchrun with FOLDER CONFIG CHECKPOINT OPTION ...

One launch for all checks, since importing OpenMMLab is most of the time.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


class Features(torch.nn.Module):
    """FastViT-T8 and mmdet's FPN in float64; BatchNorm in eval as the config's lever sets it."""

    def __init__(self) -> None:
        super().__init__()
        from mmdet.models.necks import FPN

        from fastvit_dense import FastViT

        torch.manual_seed(0)
        self.backbone = FastViT('t8', norm_eval=True)
        self.neck = FPN([48, 96, 192, 384], 16, num_outs=5)
        self.double().train()
        norms = [m for m in self.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert norms
        assert not any(norm.training for norm in norms)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mean over the images of a loss of each image."""
        losses = [level.square().mean(dim=(1, 2, 3)) for level in self.neck(self.backbone(images))]
        return sum(losses).mean()


def gradients(model: torch.nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of every parameter; each must have one."""
    model(images).backward()
    named = getattr(model, 'module', model).named_parameters()
    return {name: parameter.grad.clone() for name, parameter in named}


def compare_gradients() -> dict[str, float]:
    """Largest error of a parameter's averaged gradient, absolute and relative to its rms."""
    images = torch.randn(4, 3, 64, 64, dtype=torch.float64, generator=torch.Generator())
    rank = distributed.get_rank()
    model = torch.nn.parallel.DistributedDataParallel(Features())
    averaged = gradients(model, images[2 * rank : 2 * rank + 2])
    alone, half = gradients(Features(), images), gradients(Features(), images[:2])
    rms = {name: g.square().mean().sqrt() for name, g in alone.items()}
    error = {name: (averaged[name] - g).abs().max() for name, g in alone.items()}
    return {
        'parameters': len(alone),
        'absolute': max(error.values()).item(),
        'relative': max((error[name] / rms[name]).item() for name in alone if rms[name]),
        'half': max(
            ((half[n] - g).abs().max() / rms[n]).item() for n, g in alone.items() if rms[n]
        ),
    }


def checksums(model: torch.nn.Module) -> dict[str, str]:
    """SHA-256 of every tensor of a model."""
    return {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in model.state_dict().items()
    }


def meet_broken_pictures(folder: Path) -> list[str]:
    """Two ranks meet missing pictures in turns; what this one was told when it had to stop."""
    from fastvit_dense.datasets.loading import BROKEN_IMAGES, LoadCheckedImage
    from fastvit_dense.errors import DataError

    load = LoadCheckedImage(skip_broken=3, record=str(folder / BROKEN_IMAGES))
    told = []
    for turn, names in enumerate(['ab', 'bc', 'd']):
        for name in names if turn % 2 == distributed.get_rank() else '':
            try:
                assert load({'img_path': str(folder / name)}) is None
            except DataError as error:
                told.append(str(error))
        distributed.barrier()
    return told


def main(folder: Path, config: str, checkpoint: str, *test_options: str) -> None:
    """Compare gradients, then train three steps and evaluate, as the command lines do."""
    from mmengine.config import Config
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS

    from fastvit_dense.engine.distributed import join_processes

    found = {}

    @HOOKS.register_module()
    class KeepChecksums(Hook):
        """Weights and buffers of this process at the start, at the end and in validation."""

        def before_train(self, runner: Any) -> None:
            found['start'] = checksums(runner.model.module)

        def after_val_epoch(self, runner: Any, metrics: dict) -> None:
            found['validated'] = checksums(runner.model.module)
            found['metrics'] = metrics

        def after_train(self, runner: Any) -> None:
            found['end'] = checksums(runner.model.module)
            found['iterations'] = runner.iter

    join_processes(Config({'launcher': 'pytorch'}))
    found['world_size'] = distributed.get_world_size()
    found['gradients'] = compare_gradients()
    options = ['--launcher', 'pytorch', '--work-dir', str(folder)]
    trained = command('train', [config, *options, '--cfg-options', 'train_dataloader.batch_size=1'])
    assert trained == 0
    found['status'] = command('test', [config, checkpoint, *options, *test_options])
    found['broken'] = meet_broken_pictures(folder)
    (folder / f'rank_{distributed.get_rank()}.json').write_text(json.dumps(found))


def command(name: str, arguments: list[str]) -> int:
    """Exit status of a command line."""
    from fastvit_dense.cli import run_command

    try:
        run_command(name, f'python tools/{name}.py', arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == '__main__':
    main(Path(sys.argv[1]), *sys.argv[2:])
