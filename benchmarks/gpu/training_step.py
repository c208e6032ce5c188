"""Training steps on a GPU: images per second, memory, and the processes that must load for it."""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope, init_default_scope
from torch import Tensor, nn

from benchmarks.gpu.job import Job
from benchmarks.machine import wait_for
from benchmarks.timing import time_in_turns
from fastvit_dense.inference.predictor import build_model
from fastvit_dense.tasks.config import load_config

OBJECTS = 8  # in every picture of the detector
LOADING = 20.0  # seconds for the processes that load
CHANNELS = {'fastvit_sa24': [64, 128, 256, 512], 'resnet50': [256, 512, 1024, 2048]}
# name: (backbone, precision, settings); the first is what the others are told against
WAYS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    'timm bf16 channels_last': ('fastvit_sa24', 'bf16', ('channels_last',)),
    'ours bf16 channels_last': ('', 'bf16', ('channels_last',)),
    'timm bf16': ('fastvit_sa24', 'bf16', ()),
    'ours bf16': ('', 'bf16', ()),
    'resnet50 bf16 channels_last': ('resnet50', 'bf16', ('channels_last',)),
    'timm fp32': ('fastvit_sa24', 'fp32', ()),
    'ours fp32': ('', 'fp32', ()),
    'ours fp16': ('', 'fp16', ()),
    'ours bf16 channels_last compiled': ('', 'bf16', ('channels_last', 'compiled')),
    'timm bf16 channels_last compiled': ('fastvit_sa24', 'bf16', ('channels_last', 'compiled')),
}
QUICK_WAYS = ('timm fp32', 'ours fp32')  # that a CPU has, too
# config: (batch size, height, width)
CONFIGS = {
    'maskrcnn_fastvit_sa24': (8, 800, 1344),
    'semfpn_fastvit_sa24': (16, 512, 512),
}
QUICK_CONFIGS = {'maskrcnn_fastvit_t8': (1, 64, 64), 'semfpn_fastvit_t8': (2, 64, 64)}


class TimmFeatures(nn.Module):
    """A backbone of timm with its feature maps of strides 4 to 32, for mmdet and mmseg."""

    def __init__(self, model: str, init_cfg: object = None) -> None:
        super().__init__()
        import timm

        self.model = timm.create_model(model, features_only=True)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to four maps (B, C, H / stride, W / stride)."""
        return tuple(self.model(images)[-4:])


def measure(job: Job) -> None:
    """Time the steps of both configs, then the loading."""
    configs = QUICK_CONFIGS if job.quick else CONFIGS
    for number, (config, shape) in enumerate(configs.items()):
        seconds = (job.left() - LOADING) / (len(configs) - number)
        job.attempt(config, _compare, job, config, shape, seconds)
    job.attempt('loading', _loading, job)


def _compare(job: Job, config: str, shape: tuple[int, int, int], seconds: float) -> None:
    """Add a row for every way to make a step, all timed in turns."""
    batch_size, height, width = shape
    cfg = load_config(config, pretrained=False)
    end = time.monotonic() + seconds
    rows: dict[str, dict[str, Any]] = {}
    steps: dict[str, Callable[[], Any]] = {}
    ways = {name: WAYS[name] for name in QUICK_WAYS} if job.quick else WAYS
    for name, (backbone, precision, settings) in ways.items():
        row = {'name': name, 'config': config, 'batch_size': batch_size}
        rows[name] = row | {'height': height, 'width': width}
        if len(steps) > 1 and time.monotonic() > end - seconds / 3:
            rows[name]['reason'] = 'no time left'
            continue
        try:
            before = _memory(job.device)
            step = make_step(cfg, backbone, precision, settings, shape, job.device)
            start = time.monotonic()
            for _ in range(2):
                step()
            rows[name]['first_two_steps_seconds'] = time.monotonic() - start
            rows[name]['peak_bytes'] = _peak(job.device) - before
            steps[name] = step
        except Exception as error:
            rows[name]['reason'] = f'{type(error).__name__}: {error}'[:300]
    left = max(1.0, end - time.monotonic())
    timings = time_in_turns(steps, rounds=10, seconds=left, warm_up=0)
    first = next(iter(timings.values()), None)
    for name, timing in timings.items():
        rows[name] |= timing.columns(first)
        rows[name]['images_per_second'] = batch_size / timing.median
    job.add(*rows.values())


def _memory(device: str) -> int:
    if device != 'cuda':
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == 'cuda' else 0


def make_step(
    cfg: Config,
    backbone: str,
    precision: str,
    settings: Sequence[str],
    shape: tuple[int, int, int],
    device: str,
) -> Callable[[], object]:
    """Prepare a training step, from a batch in the GPU's memory to changed weights.

    Args:
        cfg: Of the model.
        backbone: Model of timm in place of the config's; '': the config's.
        precision: 'fp32', or the 16-bit type of automatic mixed precision.
        settings: Of 'channels_last' and 'compiled' (the backbone).
        shape: Batch size, height, width.
        device: 'cuda' or 'cpu'.
    """
    cfg = copy.deepcopy(cfg)
    if backbone:
        cfg.model.backbone = ConfigDict(type=TimmFeatures, model=backbone)
        cfg.model.neck.in_channels = CHANNELS[backbone]
    if cfg.model.get('decode_head', {}).get('norm_cfg', {}).get('type') == 'SyncBN':
        cfg.model.decode_head.norm_cfg.type = 'BN'
    torch.manual_seed(0)
    init_default_scope(cfg.default_scope)
    model: Any = build_model(cfg).to(device).train()
    if 'channels_last' in settings:
        model.to(memory_format=torch.channels_last)
    if 'compiled' in settings:
        model.backbone.forward = torch.compile(model.backbone.forward, dynamic=False)
    wrapper = copy.deepcopy(cfg.optim_wrapper)
    if precision != 'fp32':
        wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
        wrapper.dtype = {'bf16': 'bfloat16', 'fp16': 'float16'}[precision]
    optim_wrapper = build_optim_wrapper(model, wrapper)
    batch = make_batch(cfg, shape, device)
    if 'channels_last' in settings:
        batch['inputs'] = batch['inputs'].contiguous(memory_format=torch.channels_last)

    def step() -> object:
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            with optim_wrapper.optim_context(model):
                losses = model.loss(batch['inputs'], batch['data_samples'])
                loss, _ = model.parse_losses(losses)
            optim_wrapper.update_params(loss)
        wait_for(device)
        return loss

    return step


def make_batch(cfg: Config, shape: tuple[int, int, int], device: str) -> dict[str, Any]:
    """Random pictures, normalised, with boxes and masks or label maps, on the device."""
    rng = np.random.default_rng(0)
    batch_size, height, width = shape
    detector = 'roi_head' in cfg.model
    make = _objects if detector else _labels
    return {
        'inputs': torch.randn(batch_size, 3, height, width, device=device),
        'data_samples': [make(rng, height, width, device) for _ in range(batch_size)],
    }


def _objects(rng: np.random.Generator, height: int, width: int, device: str) -> object:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    centre = rng.uniform(0.2, 0.8, (OBJECTS, 2)) * (width, height)
    half = rng.uniform(0.05, 0.19, (OBJECTS, 2)) * (width, height)
    boxes = np.concatenate([centre - half, centre + half], 1).round().astype(np.float32)
    masks = np.zeros((OBJECTS, height, width), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = 1
    shape = {'img_shape': (height, width), 'ori_shape': (height, width)}
    sample = DetDataSample(
        metainfo={**shape, 'pad_shape': (height, width), 'batch_input_shape': (height, width),
                  'scale_factor': (1.0, 1.0)}
    )  # fmt: skip
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes).to(device),
        labels=torch.from_numpy(rng.integers(0, 80, OBJECTS)).to(device),
        masks=BitmapMasks(masks, height, width),
    )
    return sample


def _labels(rng: np.random.Generator, height: int, width: int, device: str) -> object:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    coarse = rng.integers(0, 150, (height // 32, width // 32))
    labels = torch.from_numpy(coarse.repeat(32, 0).repeat(32, 1))[None].to(device)
    sample = SegDataSample(metainfo={'img_shape': (height, width), 'ori_shape': (height, width)})
    sample.gt_sem_seg = PixelData(data=labels)
    return sample


def _loading(job: Job) -> None:
    """Images per second that the detector's training pipeline delivers with so many processes."""
    from mmengine.runner import Runner

    from fastvit_dense.datasets.loading import use_checked_loading

    cfg = load_config('maskrcnn_fastvit_t8', sample=True, pretrained=False)
    scales = next(s for s in cfg.train_dataloader.dataset.pipeline if 'Resize' in s['type'])
    if not job.quick:
        scales.clear()
        scales.update(type='Resize', scale=(1333, 800), keep_ratio=True)
    init_default_scope(cfg.default_scope)
    use_checked_loading(cfg)
    for workers in (1,) if job.quick else (4, 8, 16):
        if job.left() < 12:
            break
        loader_cfg = copy.deepcopy(cfg.train_dataloader)
        loader_cfg.update(num_workers=workers, batch_size=2, persistent_workers=False)
        batches = iter(Runner.build_dataloader(loader_cfg, seed=0))
        for _ in range(2):
            next(batches)
        start, images = time.monotonic(), 0
        while time.monotonic() - start < (0.5 if job.quick else 4):
            batch = next(batches, None)
            if batch is None:
                batches = iter(Runner.build_dataloader(loader_cfg, seed=0))
                continue
            images += len(batch['inputs'])
        rate = images / (time.monotonic() - start)
        job.add({'name': f'loading, {workers} processes', 'images_per_second': rate})
