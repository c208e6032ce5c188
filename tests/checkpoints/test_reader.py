"""Checkpoints are read without running code, by us and by mmengine; damage has a readable name."""

import os
import pickle
import threading
from argparse import Namespace
from collections import OrderedDict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn

import fastvit_dense  # noqa: F401
from fastvit_dense.backbones import FastViT, reparameterize
from fastvit_dense.checkpoints.model import load_model_state
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.checkpoints.state import find_state_dict
from fastvit_dense.errors import CheckpointError, CheckpointMismatch


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def write(path, content, form):
    """Save as torch does today, as it did before 1.6, or as a plain pickle."""
    if form == 'pickle':
        path.write_bytes(pickle.dumps(content, 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == 'zip')
    return path


# --- hostile files ---------------------------------------------------------------------------


def attacks(mark):
    """Return objects that would make the file ``mark``, or hand over memory, when unpickled."""
    code = f'open({str(mark)!r}, "w").close()'
    return {
        'os.system': Call(os.system, f'touch {mark}'),
        'eval': Call(eval, code),
        'exec': Call(exec, code),
        'open': Call(open, str(mark), 'w'),
        'getattr': Call(getattr, HistoryBuffer.mean, '__globals__'),
        'np.load': Call(np.load, str(mark)),
        'object array from bytes': Call(np.ndarray, (1,), 'O', b'12345678'),
        'object dtype': np.array([Call(eval, code)], dtype=object),
        'structured dtype': np.zeros(1, [('a', 'O')]),
        'own class': Namespace(a=Call(Config.fromstring, code, '.py')),
    }


@pytest.mark.parametrize('form', ['zip', 'legacy', 'pickle'])
@pytest.mark.parametrize('name', attacks(''))
def test_code_in_a_file_is_not_run(tmp_path, name, form):
    mark = tmp_path / 'mark'
    content = dict(state_dict=dict(weight=torch.ones(1)), extra=attacks(mark)[name])
    path = write(tmp_path / 'evil.pth', content, form)
    reads = [
        lambda: load_checkpoint_file(path),
        lambda: load_checkpoint(nn.Linear(1, 1), str(path)),
        lambda: CheckpointLoader.load_checkpoint(str(path), map_location='cpu'),
    ]
    for read in reads:
        if (
            name == 'getattr' and form != 'pickle'
        ):  # stands for nothing: mmengine's own files use it
            with_code = read()
            assert with_code.get('extra') is None
            continue
        with pytest.raises(CheckpointError, match=r'evil\.pth: ') as info:
            read()
        assert 'add_safe_globals' not in str(info.value)
        assert 'weights_only' not in str(info.value)
    assert not mark.exists()


def test_refusal_names_the_type(tmp_path):
    path = write(tmp_path / 'evil.pth', {'a': Call(os.system, 'true')}, 'zip')
    with pytest.raises(CheckpointError, match=r'it holds a (posix|nt)\.system, .* nothing .* run'):
        load_checkpoint_file(path)
    path = write(tmp_path / 'text.pth', {'a': np.array(['x'])}, 'zip')
    with pytest.raises(CheckpointError, match="it holds an array of dtype 'U1'; numbers only"):
        load_checkpoint_file(path)


def test_file_cannot_change_the_methods_of_history_buffers(tmp_path):
    class Evil:
        def __reduce__(self):
            arrays = dict.fromkeys(('_log_history', '_count_history'), np.ones(2))
            methods = {'mean': Namespace, 'new': Namespace}
            return HistoryBuffer, (), arrays | dict(max_length=9, statistics_methods=methods)

    HistoryBuffer()  # registers its methods
    before = dict(HistoryBuffer._statistics_methods)
    buffer = load_checkpoint_file(write(tmp_path / 'x.pth', {'a': Evil()}, 'zip'))['a']
    assert HistoryBuffer._statistics_methods == before
    assert type(buffer) is HistoryBuffer
    assert buffer.mean() == 1


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


# --- damaged files ---------------------------------------------------------------------------


def test_absent_and_empty_files(tmp_path):
    with pytest.raises(CheckpointError, match=r'x\.pth: there is no such file'):
        load_checkpoint_file(tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='there is no such file'):
        load_checkpoint_file(tmp_path)
    (tmp_path / 'x.pth').touch()
    with pytest.raises(CheckpointError, match=r'x\.pth: the file is empty \(zero bytes\)'):
        load_checkpoint_file(tmp_path / 'x.pth')


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.parametrize('share', [0.02, 0.3, 0.6, 0.99])
def test_truncated_files(tmp_path, form, share):
    path = write(tmp_path / 'x.pth', {f'layer{i}': torch.randn(30) for i in range(50)}, form)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=r'x\.pth: truncated, damaged or not a checkpoint'):
        load_checkpoint_file(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'<!DOCTYPE html><html><body>Sign in</body></html>', 'a web page, not a checkpoint'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git lfs pull'),
        (b'just text', 'not a checkpoint'),
        (b'\x80', 'not a checkpoint'),
        (bytes(1000), 'not a checkpoint'),
    ],
)
def test_other_files(tmp_path, content, message):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint_file(tmp_path / 'x.pth')


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::UserWarning')
def test_archives_of_others(tmp_path):
    np.savez(tmp_path / 'x.npz', a=np.ones(3))
    with pytest.raises(CheckpointError, match='not a checkpoint'):
        load_checkpoint_file(tmp_path / 'x.npz')
    torch.jit.save(torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1)), tmp_path / 'x.pt')
    with pytest.raises(CheckpointError, match='a TorchScript program'):
        load_checkpoint_file(tmp_path / 'x.pt')


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({'a': torch.arange(3.0)}, tmp_path / 'x.safetensors')
    assert load_checkpoint_file(tmp_path / 'x.safetensors')['a'].tolist() == [0, 1, 2]
    (tmp_path / 'x.safetensors').write_bytes(b'damaged')
    with pytest.raises(CheckpointError, match=r'damaged or not a \.safetensors file'):
        load_checkpoint_file(tmp_path / 'x.safetensors')


# --- harmless files --------------------------------------------------------------------------


@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_what_training_programs_save(tmp_path, form):
    """The types that mmengine's and timm's checkpoints hold come back equal."""
    content = dict(
        state_dict=OrderedDict(a=torch.randn(2, 3, dtype=torch.bfloat16)),
        args=Namespace(model='fastvit_t8', lr=1e-3, betas=(0.9, 0.99), resume=None),
        metric=np.float64(81.5),
        epoch=np.int64(3),
        flag=np.bool_(True),
        arrays=[np.arange(6, dtype=d).reshape(2, 3).T for d in ('u1', 'i4', 'f2', 'f8', 'c8')],
        empty=np.zeros((0, 4), 'f4'),
        config=ConfigDict(a=dict(b=(1, 'x'))),
        buffer=HistoryBuffer([0.5, 2.5], [1, 3]),
    )
    found = load_checkpoint_file(write(tmp_path / 'x.pth', content, form))
    assert found.keys() == content.keys()
    assert torch.equal(found['state_dict']['a'], content['state_dict']['a'])
    for key in ('args', 'metric', 'epoch', 'flag', 'config'):
        assert found[key] == content[key]
        assert type(found[key]) is type(content[key])
    for array, expected in zip(
        (*found['arrays'], found['empty']), (*content['arrays'], content['empty']), strict=True
    ):
        np.testing.assert_array_equal(array, expected, strict=True)
    assert type(found['buffer']) is HistoryBuffer
    assert found['buffer'].mean() == (0.5 + 2.5) / (1 + 3)
    assert found['buffer'].statistics('max') == 2.5
    found['buffer'].update(7.0)
    assert found['buffer'].current() == 7


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
    with pytest.raises(CheckpointError, match=r'pickled\.pth: refused'):
        runner.resume(str(pickled))
    with pytest.raises(CheckpointError, match=r'pickled\.pth: refused'):
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
        with pytest.raises(CheckpointError, match='refused'):
            load_checkpoint(nn.Linear(1, 1), f'{url}/evil.pth')
        monkeypatch.setattr(
            'mmengine.runner.checkpoint.get_torchvision_models', lambda: {'x': f'{url}/evil.pth'}
        )
        with pytest.raises(CheckpointError, match='refused'):
            load_checkpoint(nn.Linear(1, 1), 'torchvision://x')
        monkeypatch.setattr(
            'mmengine.runner.checkpoint.get_mmcls_models', lambda: {'x': f'{url}/evil.pth'}
        )
        with pytest.raises(CheckpointError, match='refused'):
            load_checkpoint(nn.Linear(1, 1), 'mmcls://x')
        monkeypatch.setattr(
            'mmengine.runner.checkpoint.get_external_models', lambda: {'x': f'{url}/evil.pth'}
        )
        with pytest.raises(CheckpointError, match='refused'):
            load_checkpoint(nn.Linear(1, 1), 'open-mmlab://x')
        server.shutdown()
    with pytest.raises(CheckpointError, match='pavi:// is not supported'):
        load_checkpoint(nn.Linear(1, 1), 'pavi://x')
    assert not mark.exists()


def test_files_that_torch_hub_fetched_are_used_by_their_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    write(tmp_path / 'checkpoints' / 'x-0123abcd.pth', dict(a=torch.ones(1)), 'zip')
    write(tmp_path / 'checkpoints' / 'x.pth', dict(a=torch.ones(1)), 'zip')
    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path / 'cache'))
    assert 'a' in CheckpointLoader.load_checkpoint('http://127.0.0.1:9/y/x-0123abcd.pth')
    with pytest.raises(CheckpointError, match='no connection'):
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


# --- whole models ----------------------------------------------------------------------------


class Detector(nn.Module):
    def __init__(self, arch='t8', **kwargs):
        super().__init__()
        self.backbone = FastViT(arch, **kwargs)
        self.head = nn.Linear(4, 2)


@pytest.fixture(scope='module')
def detector_file(tmp_path_factory):
    model = Detector()
    content = dict(meta=dict(epoch=3), state_dict=model.state_dict(), optimizer=dict(state={}))
    return write(tmp_path_factory.mktemp('files') / 'detector.pth', content, 'zip')


def refuse(model, path, *parts):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointMismatch) as info:
        load_model_state(model, path)
    for part in (str(path), *parts):
        assert part in str(info.value)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_model_state(detector_file):
    model = Detector()
    assert load_model_state(model, detector_file) == dict(epoch=3)
    saved = load_checkpoint_file(detector_file)['state_dict']
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved[name])


def test_model_state_of_another_variant(detector_file):
    refuse(Detector('t12'), detector_file, 'The file looks like t8, the model is t12.')


def test_model_state_folded_and_not(detector_file, tmp_path):
    folded = reparameterize(Detector().eval())
    refuse(folded, detector_file, 'The model is folded already: first load, then reparameterize.')
    path = write(tmp_path / 'folded.pth', folded.state_dict(), 'zip')
    refuse(Detector(), path, 'The file is folded: reparameterize the model before loading')
    assert load_model_state(Detector(reparameterized=True), path) == {}


def test_backbone_file_for_a_whole_model(tmp_path):
    path = write(tmp_path / 'backbone.pth', FastViT('t8').state_dict(), 'zip')
    refuse(
        Detector(), path, 'a backbone in layout fastvit_dense', "init_cfg=dict(type='Pretrained'"
    )


def test_model_state_details(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = model.state_dict()
    del state['1.num_batches_tracked']
    load_model_state(
        model, write(tmp_path / 'x.pth', {f'module.{k}': v for k, v in state.items()}, 'zip')
    )
    other = {**state, '0.weight': torch.zeros(4, 2), 'extra': torch.zeros(1)}
    del other['0.bias']
    other['1.bias'] = torch.full((3,), torch.nan)
    path = write(tmp_path / 'x.pth', other, 'zip')
    refuse(
        model,
        path,
        '1 missing: 0.bias',
        '1 not in the network: extra',
        '1 of another shape: 0.weight: expected (3, 2), found (4, 2)',
        '1 with NaN or Inf: 1.bias',
    )


def test_weights_are_found_or_told_missing():
    state = dict(a=torch.ones(1))
    assert find_state_dict(state, 'x')[0] == ''
    assert find_state_dict(dict(model=state, epoch=1), 'x')[0] == 'model'
    with pytest.raises(CheckpointError, match=r"x: no weights in it; .* found 'epoch'"):
        find_state_dict(dict(epoch=1), 'x')
