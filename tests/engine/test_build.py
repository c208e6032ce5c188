"""What a run starts from is looked at before it reads data."""

import pytest
import torch

from fastvit_dense import FastViT, engine
from fastvit_dense.engine.build import check_checkpoint
from fastvit_dense.errors import CheckpointError, CheckpointMismatch
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
