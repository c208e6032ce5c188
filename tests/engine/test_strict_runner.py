"""Weights to start from: what fits is taken and told; what hardly fits is refused."""

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from fastvit_dense import FastViT, engine
from fastvit_dense.checkpoints.model import fitting_weights
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.engine.strict_runner import StrictRunner
from fastvit_dense.errors import CheckpointError, CheckpointMismatch
from tests.facts import raises_naming
from tests.tiny import read_log


class Small(BaseModel):
    """Eleven layers with 24 tensors; the counter of the norm computes nothing."""

    def __init__(self, classes: int = 3, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(*(nn.Linear(width, width) for _ in range(9)))
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head(self.norm(self.body(inputs)))


def save(folder, content, name='from.pth'):
    torch.save(content, folder / name)
    return str(folder / name)


def line(model, path):
    report = fitting_weights(model, path)[1]
    assert '\n' not in report
    return report.removeprefix(f'load_from {path}: ')


# --- what fits ---------------------------------------------------------------------------------


def test_all_of_it(tmp_path):
    """Also as DistributedDataParallel names tensors, and beside a trainer's other content."""
    state = Small().state_dict()
    wrapped = {f'module.{name}': tensor for name, tensor in state.items()}
    for content in (state, {'state_dict': state, 'meta': {}}, {'state_dict': wrapped}):
        fitting, report = fitting_weights(Small(), save(tmp_path, content))
        assert report.endswith(': 24 of the 24 tensors of the model are loaded')
        assert fitting.keys() == state.keys()
        assert all(torch.equal(fitting[name], state[name]) for name in state)


def test_averaged_weights_are_taken(tmp_path):
    plain, averaged = Small().state_dict(), Small().state_dict()
    path = save(tmp_path, {'state_dict': plain, 'state_dict_ema': averaged})
    fitting = fitting_weights(Small(), path)[0]
    assert torch.equal(fitting['head.weight'], averaged['head.weight'])


def test_another_number_of_classes(tmp_path):
    path = save(tmp_path, {'state_dict': Small(classes=80).state_dict()})
    fitting, _ = fitting_weights(Small(), path)
    assert 'head.weight' not in fitting
    assert line(Small(), path) == (
        '22 of the 24 tensors of the model are loaded; 2 of another shape: '
        'head.weight: expected (3, 4), found (80, 4), head.bias: expected (3,), found (80,)'
    )


def test_missing_and_left_over_tensors(tmp_path):
    state = Small().state_dict()
    state = {n: t for n, t in state.items() if not n.startswith('body')}
    state |= {f'neck.{number}.weight': torch.ones(1) for number in range(300)}
    told = line(Small(), save(tmp_path, state))
    assert told.startswith('6 of the 24 tensors of the model are loaded; 18 missing: body.0.weight')
    assert '; 300 not in the network: neck.0.weight, ' in told
    assert len(told) < 400


# --- what does not -----------------------------------------------------------------------------


def test_hardly_anything_fits(tmp_path):
    state = Small(width=5, classes=3).state_dict()  # the bias of the head, 1 of 24
    path = save(tmp_path, state)
    facts = ('1 of its 24', '23 of another shape', 'body.0.weight', (4, 4), (5, 5))
    with raises_naming(CheckpointMismatch, path, *facts) as error:
        fitting_weights(Small(), path)
    assert len(str(error.value).splitlines()) < 5


def test_backbone_where_a_model_is_expected(tmp_path):
    """Names without `backbone.`: the message says where such a file belongs."""
    model = nn.ModuleDict({'backbone': FastViT('t8')})
    path = save(tmp_path, FastViT('t8').state_dict())
    place = "name it in init_cfg=dict(type='Pretrained', checkpoint=...)"
    with raises_naming(CheckpointMismatch, path, '0 of its', place):
        fitting_weights(model, path)


def test_backbone_of_another_size(tmp_path):
    model = nn.ModuleDict({'backbone': FastViT('t8')})
    other = nn.ModuleDict({'backbone': FastViT('t12')}).state_dict()
    path = save(tmp_path, other)
    with raises_naming(CheckpointMismatch, path, 't12', 't8'):
        fitting_weights(model, path)


@pytest.mark.parametrize(
    ('content', 'facts'),
    [
        ({'epoch': 3}, ['no weights', "'epoch'"]),
        ([1, 2], ['a dict', 'list']),
        ({'state_dict': {}}, ['no weights', "'state_dict'"]),
    ],
    ids=str,
)
def test_files_without_weights(tmp_path, content, facts):
    path = save(tmp_path, content)
    with raises_naming(CheckpointError, path, *facts):
        fitting_weights(Small(), path)


def test_broken_weights(tmp_path):
    state = Small().state_dict()
    state['body.3.weight'][0, 0] = float('nan')
    path = save(tmp_path, state)
    with raises_naming(CheckpointMismatch, path, 'damaged', '1 with NaN or Inf', 'body.3.weight'):
        fitting_weights(Small(), path)


# --- in a run ----------------------------------------------------------------------------------


def test_runner_starts_from_what_fits(tmp_path):
    """The model and its running average; what did not fit keeps its first values."""
    state = Small(classes=80).state_dict()
    model = Small()
    head = model.head.weight.detach().clone()
    runner = StrictRunner(
        model,
        work_dir=str(tmp_path),
        load_from=save(tmp_path, {'state_dict': state}),
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=f'test_runner_{tmp_path.name}',
        default_scope='mmengine',
    )
    runner.call_hook('before_run')
    runner.load_or_resume()
    (ema,) = (hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    for loaded in (model.state_dict(), ema.ema_model.module.state_dict()):
        assert torch.equal(loaded['head.weight'], head)
        for name in state.keys() - {'head.weight', 'head.bias'}:
            assert torch.equal(loaded[name], state[name]), name
    log = read_log(tmp_path)
    assert log.count('22 of the 24 tensors of the model are loaded; 2 of another shape') == 1
    assert 'size mismatch' not in log


@pytest.mark.integration
def test_fine_tuning_with_other_classes(tiny_instance, trained, tmp_path):
    """Mask R-CNN from its own checkpoint, with two classes; zero learning rate keeps the rest."""
    engine.train(
        tiny_instance,
        work_dir=str(tmp_path),
        cfg_options=[
            f'load_from={trained}',
            'train_dataloader.dataset.metainfo.classes=[person,cat]',
            'train_dataloader.dataset.indices=2',
            'optim_wrapper.optimizer.lr=0.0',
            *('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None'),
        ],
    )
    before, after = (
        load_checkpoint_file(path)['state_dict'] for path in (trained, tmp_path / 'epoch_1.pth')
    )
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {
        f'roi_head.{head}.{kind}'
        for head in ('bbox_head.fc_cls', 'bbox_head.fc_reg', 'mask_head.conv_logits')
        for kind in ('weight', 'bias')
    }
    assert after['roi_head.bbox_head.fc_cls.weight'].shape[0] == 3
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    for name in before.keys() - changed:
        if not name.endswith(statistics):
            assert torch.equal(before[name], after[name]), name
    log = read_log(tmp_path)
    assert log.count('6 of another shape: ') == 1
    assert 'size mismatch' not in log
