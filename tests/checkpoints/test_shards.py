"""Checkpoints in several files, and what else is taken for a checkpoint."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fastvit_dense.checkpoints.convert import convert_file
from fastvit_dense.checkpoints.model import load_model_state
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointError
from tests.facts import raises_naming


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def write_shards(folder, state, suffix):
    """Write a state dict as Hugging Face's libraries do, in two files and an index."""
    names = list(state)
    stem = 'model' if suffix == 'safetensors' else 'pytorch_model'
    places = {}
    for number, part in enumerate((names[:2], names[2:]), start=1):
        file = f'{stem}-{number:05d}-of-00002.{suffix}'
        tensors = {name: state[name] for name in part}
        (save_file if suffix == 'safetensors' else torch.save)(tensors, folder / file)
        places |= dict.fromkeys(part, file)
    index = folder / f'{stem}.{suffix}.index.json'
    index.write_text(json.dumps({'metadata': {'total_size': 1}, 'weight_map': places}))
    return index


@pytest.mark.parametrize('suffix', ['safetensors', 'bin'])
def test_by_index_and_by_folder(tmp_path, model, suffix):
    index = write_shards(tmp_path, model.state_dict(), suffix)
    for source in (index, tmp_path, str(tmp_path)):
        other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        load_model_state(other, source)
        for name, tensor in model.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor)


def test_folder_with_both_formats_or_one_file(tmp_path, model):
    for suffix in ('bin', 'safetensors'):
        write_shards(tmp_path, model.state_dict(), suffix)
    assert load_checkpoint_file(tmp_path).keys() == model.state_dict().keys()
    single = tmp_path / 'single'
    single.mkdir()
    save_file(model.state_dict(), single / 'model.safetensors')
    (single / 'config.json').write_text('{}')
    assert load_checkpoint_file(single).keys() == model.state_dict().keys()


def test_what_an_index_may_not_name(tmp_path, model):
    index = write_shards(tmp_path, model.state_dict(), 'bin')
    good = json.loads(index.read_text())
    for place in ('../secret.bin', '/etc/passwd', '', '.', 5, None, index.name):
        good['weight_map']['0.weight'] = place
        index.write_text(json.dumps(good))
        with raises_naming(CheckpointError, index, 'weight_map', '0.weight', 'beside the index'):
            load_checkpoint_file(tmp_path)
    good['weight_map']['0.weight'] = 'pytorch_model-00002-of-00002.bin'
    index.write_text(json.dumps(good))
    with raises_naming(CheckpointError, index, '0.weight', 'pytorch_model-00002-of-00002.bin'):
        load_checkpoint_file(tmp_path)
    write_shards(tmp_path, model.state_dict(), 'bin')
    (tmp_path / 'pytorch_model-00001-of-00002.bin').unlink()
    with raises_naming(CheckpointError, 'pytorch_model-00001-of-00002.bin', 'no such file'):
        load_checkpoint_file(tmp_path)
    for text in ('{"weight_map": {}}', '[]', '[' * 3000, '{'):
        index.write_text(text)
        with raises_naming(CheckpointError, index):
            load_checkpoint_file(tmp_path)


@pytest.mark.parametrize(
    ('name', 'fact'),
    [
        ('.metadata', 'dcp_to_torch'),
        ('zero_to_fp32.py', 'DeepSpeed'),
        ('last_checkpoint', 'name one of its checkpoints'),
        ('photo.jpg', 'photo.jpg'),
    ],
)
def test_folders_of_other_programs(tmp_path, name, fact):
    (tmp_path / name).write_text('x')
    with raises_naming(CheckpointError, tmp_path, fact):
        load_checkpoint_file(tmp_path)


def test_safetensors_by_any_name(tmp_path, model):
    """The blobs of Hugging Face's cache are named by their hash; others by a wrong suffix."""
    for name in ('0f3a' * 16, 'model.pth', 'model.bin'):
        save_file(model.state_dict(), tmp_path / name)
        found = load_checkpoint_file(tmp_path / name)
        assert torch.equal(found['0.weight'], model.state_dict()['0.weight'])
    torch.save(model.state_dict(), tmp_path / 'x.safetensors')
    assert load_checkpoint_file(tmp_path / 'x.safetensors').keys() == model.state_dict().keys()


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors', 'x', 'pytorch_model.bin'])
def test_pointers_and_web_pages_by_any_name(tmp_path, name):
    path = tmp_path / name
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 12\n')
    with raises_naming(CheckpointError, path, 'git lfs pull'):
        load_checkpoint_file(path)
    path.write_text('\n<!DOCTYPE html><html>Sign in</html>')
    with raises_naming(CheckpointError, path, 'web page'):
        load_checkpoint_file(path)
    with raises_naming(CheckpointError, path, 'web page'):
        convert_file(path, tmp_path / 'out.pth', 'apple')
