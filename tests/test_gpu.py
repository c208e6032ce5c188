"""Training, precisions and several processes' parts on a GPU: `pytest -m gpu`."""

import copy
import math

import pytest
import torch
from torch import nn

from fastvit_dense import FastViT, engine
from fastvit_dense.backbones.reparam import reparameterize
from fastvit_dense.checkpoints.model import load_model_state
from fastvit_dense.checkpoints.state import non_finite
from fastvit_dense.errors import CheckpointError

pytestmark = [pytest.mark.gpu, pytest.mark.integration]
NO_VALIDATION = ['val_dataloader=None', 'val_cfg=None', 'val_evaluator=None']


def relative_error(found, expected):
    expected = expected.double()
    return ((found.double() - expected).abs().max() / expected.square().mean().sqrt()).item()


@pytest.fixture(scope='module')
def backbone():
    torch.manual_seed(0)
    return FastViT('sa12', out_indices=(0, 1, 2, 3)).eval()


@pytest.mark.parametrize('form', ['train', 'folded'])
@pytest.mark.parametrize(('dtype', 'limit'), [(torch.float16, 0.05), (torch.bfloat16, 0.4)])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_backbone_in_half_precision(backbone, form, dtype, limit, memory_format):
    """Against float64 on the CPU, as far as 11 and 8 bits of mantissa carry through 60 layers."""
    model = copy.deepcopy(backbone)
    images = torch.randn(2, 3, 160, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = copy.deepcopy(backbone).double()(images.double())
        if form == 'folded':
            model = reparameterize(model)
        model = model.to('cuda', dtype, memory_format=memory_format)
        found = model(images.to('cuda', dtype).contiguous(memory_format=memory_format))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert relative_error(ours.cpu(), theirs) < limit


@pytest.fixture(params=['instance', 'semantic', 'hand'])
def short(request, tmp_path):
    """Write a config of a few steps without validation; `more` is added to it."""

    def write(more=''):
        path = tmp_path / f'{request.param}.py'
        base = str(request.getfixturevalue(f'tiny_{request.param}'))
        epochs = '' if request.param == 'semantic' else 'train_cfg = dict(max_epochs=2)\n'
        path.write_text(f'_base_ = {base!r}\n{epochs}{more}')
        return path

    return write


def losses_of(runner):
    history, _ = runner.message_hub.get_scalar('train/loss').data
    return [float(value) for value in history]


def test_training_on_a_gpu(short, tmp_path, monkeypatch):
    """The first loss is the CPU's."""
    config, losses = short(), {}
    for device in ('cuda', 'cpu'):
        if device == 'cpu':
            monkeypatch.setattr('mmengine.runner.runner.get_device', lambda: 'cpu')
        runner = engine.train(config, cfg_options=NO_VALIDATION, work_dir=tmp_path / device)
        assert next(runner.model.parameters()).device.type == device
        assert not non_finite(runner.model.state_dict())
        losses[device] = losses_of(runner)
    assert losses['cuda'][0] == pytest.approx(losses['cpu'][0], rel=0.02)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision(short, tmp_path, dtype):
    config = short(f"optim_wrapper = dict(type='AmpOptimWrapper', dtype={dtype!r})\n")
    runner = engine.train(config, cfg_options=NO_VALIDATION, work_dir=tmp_path / 'run')
    assert all(p.dtype == torch.float32 for p in runner.model.parameters())
    assert not non_finite(runner.model.state_dict())
    assert all(math.isfinite(loss) for loss in losses_of(runner))


def test_amp_switch(short, tmp_path):
    runner = engine.train(short(), cfg_options=NO_VALIDATION, work_dir=tmp_path / 'run', amp=True)
    assert type(runner.optim_wrapper).__name__ == 'AmpOptimWrapper'


def test_steps_that_overflow_are_left_out(tiny_semantic, tmp_path):
    """A first scale that no gradient survives: mixed precision lowers it, training goes on."""
    config = tmp_path / 'scaled.py'
    scaled = dict(type='AmpOptimWrapper', dtype='float16', loss_scale=dict(init_scale=1e10))
    config.write_text(f'_base_ = {str(tiny_semantic)!r}\noptim_wrapper = {scaled}\n')
    runner = engine.train(config, cfg_options=NO_VALIDATION, work_dir=tmp_path / 'run')
    assert runner.optim_wrapper.loss_scaler.get_scale() < 1e10
    assert not non_finite(runner.model.state_dict())


@pytest.fixture
def one_process(tmp_path):
    """A process group of this process alone, over NCCL."""
    torch.distributed.init_process_group(
        'nccl', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_sync_bn_over_nccl(one_process):
    """On one card it is BatchNorm: outputs, statistics and gradients."""
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(8).cuda().train()
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(8)).cuda().train()
    assert isinstance(synced, nn.SyncBatchNorm)
    images = torch.randn(4, 8, 6, 6, device='cuda')
    results = []
    for norm in (plain, synced):
        inputs = images.clone().requires_grad_()
        outputs = norm(inputs)
        outputs.square().mul(images).sum().backward()
        results.append([outputs, inputs.grad, norm.weight.grad, norm.running_var])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    total = torch.ones(3, device='cuda')
    torch.distributed.all_reduce(total)
    assert total.tolist() == [1, 1, 1]


def test_distributed_data_parallel_over_nccl(one_process, backbone):
    """Gradients of one process are those without it."""
    images = torch.randn(2, 3, 96, 96, device='cuda')
    gradients = []
    for wrap in (lambda m: m, lambda m: nn.parallel.DistributedDataParallel(m, device_ids=[0])):
        model = copy.deepcopy(backbone).cuda()
        sum(level.square().mean() for level in wrap(model)(images)).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_checkpoints_written_on_a_gpu(tmp_path, dtype):
    """They load, on the CPU and on the GPU, as the numbers that 16 bits hold."""
    torch.manual_seed(0)
    state = FastViT('t8').state_dict()
    low = {k: v.to('cuda', dtype if v.is_floating_point() else v.dtype) for k, v in state.items()}
    torch.save({'state_dict': low}, tmp_path / 'low.pth')
    for device in ('cpu', 'cuda'):
        model = FastViT('t8').to(device)
        load_model_state(model, tmp_path / 'low.pth')
        for name, value in model.state_dict().items():
            assert value.device.type == device
            assert torch.equal(value.cpu(), low[name].to(value.dtype).cpu()), name


def test_float8_checkpoints_are_refused(tmp_path):
    state = FastViT('t8').cuda().state_dict()
    name = next(iter(state))
    state[name] = state[name].to(torch.float8_e4m3fn)
    torch.save({'state_dict': state}, tmp_path / 'float8.pth')
    with pytest.raises(CheckpointError, match='float8'):
        load_model_state(FastViT('t8').cuda(), tmp_path / 'float8.pth')
