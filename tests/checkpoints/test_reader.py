"""Checkpoints are read without running code; what is refused or damaged has a readable name."""

import functools
import os
import resource
import time
import zipfile
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

import fastvit_dense  # noqa: F401
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointError
from tests.facts import raises_naming

from .saving import Call, write


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
        with raises_naming(CheckpointError, path) as info:
            read()
        assert 'add_safe_globals' not in str(info.value)
        assert 'weights_only' not in str(info.value)
    assert not mark.exists()


def test_refusal_names_the_type(tmp_path):
    path = write(tmp_path / 'evil.pth', {'a': Call(os.system, 'true')}, 'zip')
    with raises_naming(CheckpointError, path, f'{os.system.__module__}.system', 'nothing', 'run'):
        load_checkpoint_file(path)
    path = write(tmp_path / 'text.pth', {'a': np.array(['x'])}, 'zip')
    with raises_naming(CheckpointError, path, 'array', 'U1', 'numbers'):
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


def test_absent_and_empty_files(tmp_path):
    with raises_naming(CheckpointError, tmp_path / 'x.pth', 'no such file'):
        load_checkpoint_file(tmp_path / 'x.pth')
    with raises_naming(CheckpointError, tmp_path, 'a folder', 'found nothing'):
        load_checkpoint_file(tmp_path)
    (tmp_path / 'x.pth').touch()
    with raises_naming(CheckpointError, tmp_path / 'x.pth', 'empty', 'zero bytes'):
        load_checkpoint_file(tmp_path / 'x.pth')


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.parametrize('share', [0.02, 0.3, 0.6, 0.99])
def test_truncated_files(tmp_path, form, share):
    path = write(tmp_path / 'x.pth', {f'layer{i}': torch.randn(30) for i in range(50)}, form)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with raises_naming(CheckpointError, path, 'truncated', 'damaged'):
        load_checkpoint_file(path)


@pytest.mark.parametrize(
    ('content', 'fact'),
    [
        (b'<!DOCTYPE html><html><body>Sign in</body></html>', 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git lfs pull'),
        (b'just text', "begins with 'just text'"),
        (b'hello, these are my weights', "begins with 'hello, these are my weights'"),
        (b'{"message": "Not Found"}\n', 'begins with \'{"message": "Not Found"}\''),
        (b'\x80', 'not a checkpoint'),
        (bytes(1000), 'not a checkpoint'),
    ],
)
def test_other_files(tmp_path, content, fact):
    (tmp_path / 'x.pth').write_bytes(content)
    with raises_naming(CheckpointError, tmp_path / 'x.pth', fact):
        load_checkpoint_file(tmp_path / 'x.pth')


@pytest.mark.parametrize('content', [b'hello, these are my weights', b'epoch: 1', bytes(1000)])
def test_no_inner_words_of_the_readers(tmp_path, content):
    """Neither a bare number of the pickle nor torch's advice to switch its protection off."""
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint_file(tmp_path / 'x.pth')
    for words in ('(101)', 'pop from', 'weights_only'):
        assert words not in str(error.value)


def test_an_archive_of_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as archive:
        archive.writestr('run/best.pth', b'...')
    with raises_naming(CheckpointError, tmp_path / 'x.pth', 'archive', 'run/best.pth', 'unpack'):
        load_checkpoint_file(tmp_path / 'x.pth')


def repack(path, change, compression=zipfile.ZIP_DEFLATED):
    """Pack an archive of torch again, members of it as `change(name, content)` gives them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression, compresslevel=1) as archive:
        for name, content in members.items():
            with archive.open(name, 'w') as file:
                for part in change(name, content):
                    file.write(part)


@pytest.mark.parametrize('member', ['data.pkl', 'data/0'])
def test_archive_bombs(tmp_path, member):
    """134 MB in a file of 0.6 MB: refused by its table of contents."""
    path = write(tmp_path / 'x.pth', {'a': torch.ones(100)}, 'zip')
    zeros = [bytes(1 << 24)] * 8
    repack(path, lambda name, content: zeros if name.endswith(member) else [content])
    assert path.stat().st_size < 1e6
    start, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raises_naming(CheckpointError, path, 'refused', f'{path.stat().st_size:,}'):
        load_checkpoint_file(path)
    assert time.perf_counter() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # kilobytes


def test_compressed_archive_is_read(tmp_path):
    """Weights that somebody packed again are no bomb."""
    path = write(tmp_path / 'x.pth', {'a': torch.arange(1e5)}, 'zip')
    repack(path, lambda name, content: [content])
    assert torch.equal(load_checkpoint_file(path)['a'], torch.arange(1e5))


def test_table_of_contents_without_end(tmp_path):
    path = tmp_path / 'x.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        for number in range(200):
            archive.writestr(f'archive/data/{number:0>60000}', b'')
    with raises_naming(CheckpointError, path, 'table of contents'):
        load_checkpoint_file(path)


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.parametrize(
    ('content', 'fact'),
    [
        (torch.zeros(1).expand(10**12), '4,000,000,000,000 bytes'),
        (functools.reduce(lambda inner, _: [inner], range(200), []), '100 deep'),
        (bytearray(b'abc'), 'bytearray'),
        (Call(bytes, 10**9), 'bytes'),
    ],
)
def test_what_takes_more_memory_than_the_file(tmp_path, form, content, fact):
    path = write(tmp_path / 'x.pth', {'state_dict': {'a': torch.ones(3)}, 'more': content}, form)
    with raises_naming(CheckpointError, path, 'refused', fact):
        load_checkpoint_file(path)


def test_expanded_tensors_of_usual_size_are_read(tmp_path):
    path = write(tmp_path / 'x.pth', {'a': torch.ones(1).expand(64)}, 'zip')
    assert load_checkpoint_file(path)['a'].sum() == 64


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::UserWarning')
def test_archives_of_others(tmp_path):
    np.savez(tmp_path / 'x.npz', a=np.ones(3))
    with raises_naming(CheckpointError, tmp_path / 'x.npz', 'not a checkpoint'):
        load_checkpoint_file(tmp_path / 'x.npz')
    torch.jit.save(torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1)), tmp_path / 'x.pt')
    with raises_naming(CheckpointError, tmp_path / 'x.pt', 'TorchScript'):
        load_checkpoint_file(tmp_path / 'x.pt')


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({'a': torch.arange(3.0)}, tmp_path / 'x.safetensors')
    assert load_checkpoint_file(tmp_path / 'x.safetensors')['a'].tolist() == [0, 1, 2]
    (tmp_path / 'x.safetensors').write_bytes(b'damaged')
    with raises_naming(CheckpointError, tmp_path / 'x.safetensors', 'damaged'):
        load_checkpoint_file(tmp_path / 'x.safetensors')


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
