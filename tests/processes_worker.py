"""What each process of `tests/engine/test_processes.py` runs: FOLDER CONFIG CHECKPOINT OPTION ...

Trains the config with its BatchNorm in eval, then tests a checkpoint.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main(folder: str, config: str, checkpoint: str, *options: str) -> None:
    """Train into FOLDER, test into FOLDER/tested."""
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS
    from torch.nn.modules.batchnorm import _BatchNorm

    from tests.distributed_worker import command

    @HOOKS.register_module()
    class NormsInEval(Hook):
        """Statistics of a batch would differ with its part on each process."""

        def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            for module in runner.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    common = ['--launcher', 'pytorch', '--work-dir']
    assert command('train', [config, *common, folder, '--cfg-options', *options]) == 0
    assert command('test', [config, checkpoint, *common, f'{folder}/tested']) == 0


if __name__ == '__main__':
    main(*sys.argv[1:])
