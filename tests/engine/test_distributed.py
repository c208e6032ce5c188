"""Two processes train and evaluate as one would, over gloo on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from fastvit_dense import engine
from fastvit_dense.datasets.loading import BROKEN_IMAGES
from fastvit_dense.engine.distributed import LAUNCHERS, adapt_sync_bn, join_processes
from fastvit_dense.errors import ConfigError
from tests.facts import assert_names, raises_naming

pytestmark = pytest.mark.integration
WORKER = Path(__file__).parents[1] / 'distributed_worker.py'
# three pictures for two processes: the sampler pads one
THREE_PICTURES = ('--cfg-options', 'test_dataloader.dataset.indices=3')


@pytest.fixture(scope='module')
def ranks(tiny_instance, trained, tmp_path_factory):
    """What each of the two processes found, and the work dir of their run."""
    folder = tmp_path_factory.mktemp('distributed')
    config = folder / 'two_processes.py'
    hooks = [{'type': name} for name in ('SeedHook', 'SameBuffersHook', 'KeepChecksums')]
    config.write_text(f'_base_ = {str(tiny_instance)!r}\ncustom_hooks = {hooks}\n')
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone']
    done = subprocess.run(
        [*command, str(WORKER), str(folder), str(config), str(trained), *THREE_PICTURES],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [json.loads((folder / f'rank_{rank}.json').read_text()) for rank in (0, 1)], folder


def test_averaged_gradients_are_those_of_one_process(ranks):
    """A per-image mean loss, BatchNorm in eval: 1e-6 absolute and of each gradient's rms."""
    for rank in ranks[0]:
        assert rank['world_size'] == 2
        found = rank['gradients']
        assert found['parameters'] > 200
        assert found['absolute'] < 1e-6
        assert found['relative'] < 1e-6
        assert found['half'] > 1e-2  # half of the pictures would give other gradients


def test_weights_are_equal_on_all_ranks(ranks):
    """Mask R-CNN after three steps; of the buffers, BatchNorm's statistics are each rank's own."""
    one, other = ranks[0]
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    assert one['iterations'] == other['iterations'] == 3
    assert one['start'] == other['start']
    assert one['end'].keys() == other['end'].keys()
    weights = [name for name in one['end'] if not name.endswith(buffers)]
    assert len(weights) > 200
    assert all(one['end'][name] == other['end'][name] for name in weights)
    trained = [name for name in weights if one['end'][name] != one['start'][name]]
    assert len(trained) > 0.9 * len(weights)


def test_validation_scores_what_is_saved(ranks, tiny_instance, tmp_path):
    """The numbers of the last validation are those of the saved checkpoint on one process."""
    (one, other), folder = ranks
    assert one['validated'] == other['validated']
    assert one['metrics'] == other['metrics']
    engine.evaluate_checkpoint(
        tiny_instance, str(folder / 'epoch_1.pth'), work_dir=str(tmp_path / 'all')
    )
    alone = json.loads((tmp_path / 'all/report.json').read_text())
    assert alone['metrics'] == one['metrics']


def test_two_processes_score_as_one(ranks, tiny_instance, trained, tmp_path):
    (one, other), folder = ranks
    assert one['status'] == other['status'] == 0
    engine.evaluate_checkpoint(
        tiny_instance,
        str(trained),
        cfg_options=THREE_PICTURES[1:],
        work_dir=str(tmp_path),
    )
    alone = json.loads((tmp_path / 'report.json').read_text())
    both = json.loads((folder / 'report.json').read_text())
    assert both['metrics'] == alone['metrics']
    assert both['metrics']['bbox_AR@100'] > 0
    assert both['per_class'] == alone['per_class']
    assert both['protocol'] == alone['protocol']
    assert both['samples'] == alone['samples']


def test_broken_pictures_are_counted_over_all_ranks(ranks):
    """The fourth of them stops the rank that meets it, which has met three: a, b and d."""
    (one, other), folder = ranks
    assert other['broken'] == []
    (message,) = one['broken']
    assert_names(message, folder / 'd', 'broken image 4, more than the 3')
    met = (folder / BROKEN_IMAGES).read_text().splitlines()
    assert [Path(json.loads(line)).name for line in met] == ['a', 'b', 'b', 'c', 'd']


@pytest.mark.parametrize('launcher', LAUNCHERS)
def test_launcher_that_did_not_start_the_process(launcher, monkeypatch):
    command, variables = LAUNCHERS[launcher]
    assert '-m fastvit_dense train' in command
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    with raises_naming(ConfigError, f'--launcher {launcher}', variables[0], command):
        join_processes(Config({'launcher': launcher}))
    join_processes(Config({'launcher': 'none'}))


def test_sync_bn_needs_more_than_one_process(logged):
    model = dict(
        backbone=dict(type='FastViT', norm_cfg=dict(type='SyncBN'), out_norm='SyncBN'),
        heads=[dict(norm_cfg=dict(type='SyncBN', requires_grad=True)), dict(norm_cfg=None)],
    )
    model['heads'].append(dict(norm_cfg='SyncBN'))  # as FastViT takes it, too
    cfg = Config(dict(model=model, launcher='none'))
    adapt_sync_bn(cfg)
    assert cfg.model.backbone.norm_cfg.type == cfg.model.backbone.out_norm == 'BN'
    assert cfg.model.heads[0].norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.heads[2].norm_cfg == 'BN'
    assert any('plain BN in place of SyncBN' in line for line in logged)
