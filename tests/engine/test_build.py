"""What a run starts from is looked at before it reads data."""

import pytest
import torch
from mmengine.config import Config

from fastvit_dense import FastViT, engine
from fastvit_dense.engine.build import _check_start, check_checkpoint
from fastvit_dense.engine.switches import use_balance, use_ema
from fastvit_dense.errors import CheckpointError, CheckpointMismatch, ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ('kind', 'error', 'fact'),
    [
        ('missing', CheckpointError, 'no such checkpoint file'),
        ('backbone', CheckpointMismatch, '0 of its'),
    ],
)
def test_files_are_refused_before_data_is_read(
    tiny_instance, tmp_path, monkeypatch, kind, error, fact
):
    def refuse(*_):
        raise AssertionError('data was read')

    monkeypatch.setattr('fastvit_dense.engine.build.quick_check', refuse)
    path = f'{tmp_path}/from.pth'
    if kind == 'backbone':
        torch.save(FastViT('t8').state_dict(), path)
    with raises_naming(error, path, fact):
        engine.train(
            tiny_instance, work_dir=str(tmp_path / 'work'), cfg_options=[f'load_from={path}']
        )


def test_files_are_looked_for_and_addresses_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'there.pth').touch()
    for path in (f'{tmp_path}/there.pth', '~/there.pth', 'https://example.org/x.pth'):
        check_checkpoint(path)
    for path, words in ((f'{tmp_path}/none.pth', 'no such'), (str(tmp_path), 'a folder, expected')):
        with raises_naming(CheckpointError, path, words):
            check_checkpoint(path)


def changed_copy(path, folder, **entries):
    content = torch.load(path, weights_only=False)
    content.update(entries)
    torch.save(content, folder / 'changed.pth')
    return folder / 'changed.pth'


def classes_option(names):
    return f'train_dataloader.dataset.metainfo.classes=[{",".join(names)}]'


@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_classes_in_another_order_are_not_resumed(request, task, tmp_path, monkeypatch):
    """As many classes: the tensors would fit, and each would go on from another's weights."""
    told = []
    monkeypatch.setattr('fastvit_dense.engine.build.print_log', lambda text, *_: told.append(text))
    config = request.getfixturevalue(f'tiny_{task}')
    path = request.getfixturevalue('trained' if task == 'instance' else 'trained_semantic')
    first, second, *others = Config.fromfile(config).classes
    swapped = [classes_option([second, first, *others])]
    with raises_naming(CheckpointMismatch, path, repr(second), 'place 1, here 0', repr(first)):
        engine.train(config, resume=str(path), cfg_options=swapped, work_dir=tmp_path)
    cfg = load_config(config, cfg_options=[*swapped, f'load_from={path}'], work_dir=tmp_path)
    _check_start(cfg)
    assert len(told) == 1
    assert 'place 1, here 0' in told[0]
    for names in ([first, second, *others], ['renamed', second, *others]):
        cfg = load_config(config, cfg_options=[classes_option(names)], work_dir=tmp_path)
        cfg.resume, cfg.load_from = True, str(path)
        _check_start(cfg)
    assert len(told) == 1


def test_averages_are_not_lost_by_a_switch_that_is_forgotten(
    tiny_semantic, trained_semantic, tmp_path
):
    """Training would go on from the average, and average no more."""
    weights = torch.load(trained_semantic, weights_only=False)['state_dict']
    path = changed_copy(trained_semantic, tmp_path, ema_state_dict=weights)
    with raises_naming(ConfigError, path, '--ema'):
        engine.train(tiny_semantic, resume=str(path), work_dir=tmp_path)
    cfg = load_config(tiny_semantic, work_dir=tmp_path)
    cfg.resume, cfg.load_from = True, str(path)
    use_ema(cfg)
    _check_start(cfg)


def test_a_switch_that_a_resumed_run_lacks_is_told(
    tiny_semantic, trained_semantic, tmp_path, monkeypatch
):
    """Training would go on with other pictures, and nothing would tell."""
    told = []
    monkeypatch.setattr('fastvit_dense.engine.build.print_log', lambda text, *_: told.append(text))
    meta = torch.load(trained_semantic, weights_only=False)['meta']
    balanced = meta['cfg'].replace('SeededInfiniteSampler', 'BalancedInfiniteSampler')
    assert balanced != meta['cfg']
    path = changed_copy(trained_semantic, tmp_path, meta={**meta, 'cfg': balanced})
    for switch, lines in ((use_balance, 0), (None, 1)):
        cfg = load_config(tiny_semantic, work_dir=tmp_path)
        cfg.resume, cfg.load_from = True, str(path)
        if switch:
            switch(cfg)
        _check_start(cfg)
        assert len(told) == lines
    assert f'{path}: was trained with --balance, this run goes on without' in told[0]
