"""mmengine's own reads, of files and addresses, when resuming too, run no code."""

import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn

import fastvit_dense  # noqa: F401
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointError
from tests.facts import raises_naming

from .saving import Call, write


def evil_config(mark):
    code = f'open({str(mark)!r}, "w").close()'
    return {
        'statement': code,
        'call': f'a = {code}',
        'inside': f'a = dict(b=[1, {code}])',
        'method': 'a = "".__class__.__mro__',
        'comprehension': 'a = [x for x in (1, 2)]',
        'base': "_base_ = ['/tmp/evil.py']",
        'template': "a = '{{$NONE:1}}'",
        'broken': 'a = (',
        'import': 'import os',
    }


@pytest.mark.parametrize('name', evil_config(''))
@pytest.mark.parametrize('key', ['cfg', 'config'])
def test_config_text_with_code_is_left_out(tmp_path, name, key):
    """mmengine runs `meta.config` when it resumes and `meta.cfg` in its inferencers."""
    text = evil_config(tmp_path / 'mark')[name]
    path = write(tmp_path / 'x.pth', dict(meta={key: text, 'epoch': 1}, state_dict={}), 'zip')
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == {'epoch': 1}


def test_config_text_as_mmengine_writes_it_is_kept(tmp_path):
    cfg = Config(
        dict(
            model=dict(type='A', scale=-1.5, flags=[True, None, (1, 2)], names={'a b': {'c'}}),
            custom_imports=dict(imports=['fastvit_dense']),
            sentence="it's 'quoted'\nand {brackets}",
            work_dir='/tmp',
        )
    )
    meta = dict(cfg=cfg.pretty_text)
    path = write(tmp_path / 'x.pth', dict(meta=meta, state_dict={}), 'zip')
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == meta


class Pixels(BaseDataset):
    METAINFO = dict(classes=('a', 'b'), palette=np.arange(6, dtype=np.uint8).reshape(2, 3))

    def load_data_list(self):
        generator = torch.Generator().manual_seed(0)
        return [dict(inputs=torch.randn(3, generator=generator)) for _ in range(8)]


class Small(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))

    def forward(self, inputs, sample_idx=None, mode='loss'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


@pytest.fixture(scope='module', autouse=True)
def registered():
    DATASETS.register_module(name='PixelsOfTestCheckpoint', module=Pixels)
    MODELS.register_module(name='SmallOfTestCheckpoint', module=Small)
    yield
    DATASETS.module_dict.pop('PixelsOfTestCheckpoint')
    MODELS.module_dict.pop('SmallOfTestCheckpoint')


def make_runner(work_dir, name, epochs=3, **kwargs):
    return Runner.from_cfg(
        Config(
            dict(
                model=dict(type='SmallOfTestCheckpoint'),
                work_dir=str(work_dir),
                train_dataloader=dict(
                    batch_size=4,
                    dataset=dict(type='PixelsOfTestCheckpoint', metainfo=dict(more=dict(x=1))),
                    sampler=dict(type='DefaultSampler', shuffle=False),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=epochs),
                optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
                param_scheduler=[dict(type='CosineAnnealingLR', T_max=epochs)],
                default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
                custom_hooks=[dict(type='EMAHook')],
                randomness=dict(seed=1),
                experiment_name=f'test_checkpoint_{work_dir.parent.name}_{name}',
                default_scope='mmengine',
                **kwargs,
            )
        )
    )


def test_run_is_resumed_as_if_it_had_not_stopped(tmp_path):
    """Optimizer, schedule, averaged weights, message hub and meta come through the loader."""
    whole = make_runner(tmp_path / 'whole', 'whole')
    whole.train()
    saved = tmp_path / 'whole' / 'epoch_2.pth'
    resumed = make_runner(tmp_path / 'resumed', 'resumed', load_from=str(saved), resume=True)
    resumed.train()
    assert resumed.iter == whole.iter == 6
    ends = [tmp_path / name / 'epoch_3.pth' for name in ('whole', 'resumed')]
    left, right = map(load_checkpoint_file, ends)
    for entry in ('state_dict', 'ema_state_dict'):
        assert left[entry].keys() == right[entry].keys()
        for name in left[entry]:
            assert torch.equal(left[entry][name], right[entry][name]), name
    assert str(left['optimizer']) == str(right['optimizer'])
    assert left['param_schedulers'] == right['param_schedulers']
    losses = [c['message_hub']['log_scalars']['train/loss'].data[0] for c in (left, right)]
    np.testing.assert_array_equal(*losses)
    assert len(losses[0]) == 6
    meta = left['meta']['dataset_meta']
    assert (meta['classes'], meta['more']) == (('a', 'b'), {'x': 1})
    np.testing.assert_array_equal(meta['palette'], Pixels.METAINFO['palette'])
    assert 'cfg' in left['meta']


def test_resuming_runs_no_code(tmp_path):
    runner = make_runner(tmp_path / 'run', 'evil', epochs=1)
    runner.train()
    good = load_checkpoint_file(tmp_path / 'run' / 'epoch_1.pth')
    mark = tmp_path / 'mark'
    pickled = write(
        tmp_path / 'pickled.pth', good | dict(extra=Call(os.system, f'touch {mark}')), 'zip'
    )
    with raises_naming(CheckpointError, pickled, 'refused'):
        runner.resume(str(pickled))
    with raises_naming(CheckpointError, pickled, 'refused'):
        runner.load_checkpoint(str(pickled))
    code = f'gpu_ids = [open({str(mark)!r}, "w").close()]'
    good['meta']['config'] = code
    runner.resume(str(write(tmp_path / 'config.pth', good, 'zip')))
    assert not mark.exists()


def test_addresses_go_through_the_loader(tmp_path, monkeypatch):
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    site, mark = tmp_path / 'site', tmp_path / 'mark'
    site.mkdir()
    write(site / 'good.pth', dict(state_dict=nn.Linear(1, 1).state_dict()), 'zip')
    write(site / 'evil.pth', Call(os.system, f'touch {mark}'), 'zip')

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(site))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        good = load_checkpoint(nn.Linear(1, 1), f'{url}/good.pth')
        assert set(good['state_dict']) == {'weight', 'bias'}
        with raises_naming(CheckpointError, 'evil.pth', 'refused'):
            load_checkpoint(nn.Linear(1, 1), f'{url}/evil.pth')
        monkeypatch.setattr(
            'mmengine.runner.checkpoint.get_torchvision_models', lambda: {'x': f'{url}/evil.pth'}
        )
        with raises_naming(CheckpointError, 'evil.pth', 'refused'):
            load_checkpoint(nn.Linear(1, 1), 'torchvision://x')
        monkeypatch.setattr(
            'mmengine.runner.checkpoint.get_mmcls_models', lambda: {'x': f'{url}/evil.pth'}
        )
        with raises_naming(CheckpointError, 'evil.pth', 'refused'):
            load_checkpoint(nn.Linear(1, 1), 'mmcls://x')
        monkeypatch.setattr(
            'mmengine.runner.checkpoint.get_external_models', lambda: {'x': f'{url}/evil.pth'}
        )
        with raises_naming(CheckpointError, 'evil.pth', 'refused'):
            load_checkpoint(nn.Linear(1, 1), 'open-mmlab://x')
        server.shutdown()
    with raises_naming(CheckpointError, 'pavi://x', 'not supported'):
        load_checkpoint(nn.Linear(1, 1), 'pavi://x')
    assert not mark.exists()


def test_files_that_torch_hub_fetched_are_used_by_their_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    write(tmp_path / 'checkpoints' / 'x-0123abcd.pth', dict(a=torch.ones(1)), 'zip')
    write(tmp_path / 'checkpoints' / 'x.pth', dict(a=torch.ones(1)), 'zip')
    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path / 'cache'))
    assert 'a' in CheckpointLoader.load_checkpoint('http://127.0.0.1:9/y/x-0123abcd.pth')
    with raises_naming(CheckpointError, 'http://127.0.0.1:9/y/x.pth', 'no connection'):
        CheckpointLoader.load_checkpoint('http://127.0.0.1:9/y/x.pth')


def test_every_loader_of_mmengine_is_ours():
    schemes = CheckpointLoader._schemes
    theirs = {
        s
        for s, f in schemes.items()
        if f.__module__ != 'fastvit_dense.checkpoints.mmengine_loading'
    }
    # these two end in `load_from_http`, which is ours (test above)
    assert theirs == {'modelzoo://', 'torchvision://', 'mmcls://'}


def test_published_names_are_read(monkeypatch, tmp_path):
    """As `load_from` takes them: here from the cache, by the name of another tool."""
    from fastvit_dense.checkpoints.download import cache_path
    from fastvit_dense.checkpoints.published import PUBLISHED
    from fastvit_dense.engine.build import check_checkpoint

    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path))
    place = cache_path(PUBLISHED['apple/mobilevit-small'].addresses[1])
    place.parent.mkdir(parents=True)
    torch.save({'x': torch.ones(2)}, place)
    check_checkpoint('hf-hub:apple/mobilevit-small')
    loaded = CheckpointLoader.load_checkpoint('hf-hub:apple/mobilevit-small')
    assert torch.equal(loaded['x'], torch.ones(2))
