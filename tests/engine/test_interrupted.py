"""The three tasks: killed while validating, and with weights that run away."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, DefaultScope

from fastvit_dense import engine
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import NonFiniteError
from tests.disk import in_a_process, kill_me
from tests.facts import assert_names, raises_naming

pytestmark = pytest.mark.integration
SAVE = 'default_hooks.checkpoint'
# two validations, each after a checkpoint
OPTIONS = {
    'instance': [
        *(
            'train_cfg.max_epochs=2',
            'train_cfg.val_interval=1',
            'train_dataloader.dataset.indices=4',
        ),
        *(f'{SAVE}.save_best=bbox_mAP', f'{SAVE}.max_keep_ckpts=1'),
    ],
    'semantic': [
        *('train_cfg.val_interval=2', f'{SAVE}.save_best=mIoU', f'{SAVE}.max_keep_ckpts=1'),
    ],
    'hand': [
        *('train_cfg.max_epochs=2', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=2'),
        *('train_dataloader.dataset.indices=4', 'val_dataloader.dataset.indices=4'),
        *(f'{SAVE}.interval=1', f'{SAVE}.max_keep_ckpts=1', 'val_dataloader.batch_size=2'),
    ],
}


@HOOKS.register_module()
class KillWhileValidating(Hook):
    """SIGKILL within the last validation."""

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == runner.max_iters:
            kill_me()


def killed_config(config, folder):
    """The same config but for the kill."""
    hooks = [*Config.fromfile(config).custom_hooks, dict(type='KillWhileValidating')]
    path = folder / 'killed.py'
    path.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = {[dict(h) for h in hooks]}\n')
    return path


@pytest.mark.slow  # test_saving.py does the same with a small model
@pytest.mark.parametrize('task', list(OPTIONS))
def test_killed_while_validating(request, tmp_path, task):
    """The best checkpoint and its score are those of a run that was not killed, to the last bit."""
    config, options = request.getfixturevalue(f'tiny_{task}'), OPTIONS[task]
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    engine.train(config, cfg_options=options, work_dir=whole)
    killed = killed_config(config, tmp_path)

    def run():
        engine.train(killed, cfg_options=options, work_dir=broken)

    assert in_a_process(run) == -9
    moved = broken.rename(tmp_path / 'moved')
    (moved / 'last_checkpoint').write_text('')
    engine.train(config, cfg_options=options, work_dir=moved, resume='auto')
    names = [sorted(path.name for path in folder.glob('*.pth')) for folder in (whole, moved)]
    assert names[0] == names[1]
    assert len(names[0]) == 2
    for name in names[0]:
        one, other = (load_checkpoint_file(folder / name) for folder in (whole, moved))
        infos = [side['message_hub']['runtime_info'] for side in (one, other)]
        assert infos[0]['best_score'] == infos[1]['best_score']
        assert Path(infos[0]['best_ckpt']).name == Path(infos[1]['best_ckpt']).name
        for tensor in one['state_dict']:
            assert torch.equal(one['state_dict'][tensor], other['state_dict'][tensor]), tensor


@pytest.mark.parametrize('task', list(OPTIONS))
def test_weights_that_run_away(request, tmp_path, task):
    """Told in one line with the losses and the pictures; the file that is kept does it again."""
    config = request.getfixturevalue(f'tiny_{task}')
    options = [*OPTIONS[task], 'optim_wrapper.optimizer.lr=1e30', 'param_scheduler=None']
    with raises_naming(NonFiniteError, 'iteration 2', 'the loss is', 'lr 1e+30', 'batch') as error:
        engine.train(config, cfg_options=options, work_dir=tmp_path)
    assert '\n' not in str(error.value)
    (path,) = tmp_path.glob('non_finite_iter_*.pt')
    assert str(error.value).endswith(f'what shows it again is in {path}')
    assert not list(tmp_path.glob('*.pth'))

    kept = torch.load(path, weights_only=False)
    files = [sample.img_path for sample in kept['batch']['data_samples']]
    assert_names(error.value, f'batch: {", ".join(files)}')
    assert all(Path(file).is_file() for file in files)
    cfg = Config.fromstring(kept['cfg'], '.py')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).train()
    model.load_state_dict(kept['state_dict'])
    random.setstate(kept['random']['python'])
    np.random.set_state(kept['random']['numpy'])
    torch.set_rng_state(kept['random']['torch'])
    losses = model(**model.data_preprocessor(kept['batch'], True), mode='loss')
    _, terms = model.parse_losses(losses)
    assert not terms['loss'].isfinite()
    told = [f'{name} {terms[name].item():.6g}' for name in losses if 'loss' in name]
    assert_names(error.value, *told)
