"""Training on real pictures as long as the time allows, from random weights."""

import copy
import math
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from benchmarks.gpu.job import Job
from benchmarks.machine import BenchmarkError
from fastvit_dense.evaluation.semantic import class_scores, count_pixels
from fastvit_dense.inference.predictor import build_model
from fastvit_dense.tasks.config import load_config

SPLITS = ('train', 'val', 'test')
CLASSES = 11
IGNORED = 255
BATCH_SIZE = 16
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 1e-3, 0.05, 0.05
SHARES = {'t8': 0.28, 'sa24': 0.42}  # of the time of the part; the detector has the rest
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Split:
    """Pictures (N, 3, H, W) and labels (N, H, W), uint8, on the device."""

    images: Tensor
    labels: Tensor


def measure(job: Job) -> None:
    """Semantic FPN T8 and SA24 on CamVid; Mask R-CNN SA24 on the sample data."""
    total = job.left()
    if job.data is None:
        job.add({'name': 'CamVid', 'reason': 'no folder of CamVid was given (--data)'})
    else:
        splits = job.attempt('CamVid', read_splits, job.data, job.device, job.quick)
        for arch, share in SHARES.items() if splits else ():
            arch = 't8' if job.quick else arch
            job.attempt(arch, _semantic, job, arch, splits, 2 if job.quick else share * total)
    job.attempt('maskrcnn', _detector, job)


def read_splits(folder: Path, device: str, quick: bool = False) -> dict[str, Split]:
    """Read all pictures and masks onto the device; quick: a few, every sixth pixel.

    Raises:
        BenchmarkError: A picture has no mask, or a split no picture.
    """
    splits, limit, step = {}, *((4, 6) if quick else (None, 1))
    with ThreadPoolExecutor(16) as pool:
        for split in SPLITS:
            pictures = sorted((folder / 'images' / split).glob('*.jpg'))[:limit]
            masks = [folder / 'masks' / split / f'{picture.stem}.png' for picture in pictures]
            if not pictures or not all(mask.is_file() for mask in masks):
                raise BenchmarkError(f'{folder}: no pictures of {split}, or one without a mask')
            images = np.stack(list(pool.map(_read_picture, pictures)))
            labels = np.stack(list(pool.map(_read_mask, masks)))
            splits[split] = Split(
                torch.from_numpy(images[..., ::step, ::step].copy()).to(device),
                torch.from_numpy(labels[..., ::step, ::step].copy()).to(device),
            )
    return splits


def _read_picture(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1].transpose(2, 0, 1)


def _read_mask(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def augment(split: Split, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Random scale (0.5 to 2), place, mirror image and light of each picture.

    Args:
        split: The pictures.
        chosen: (B,) their numbers.

    Returns:
        (B, 3, H, W) float32, 0 to 255, and (B, H, W) int64, `IGNORED` outside the picture.
    """
    images, labels = split.images[chosen].float(), split.labels[chosen]
    count, device = len(chosen), images.device
    scale = 2 ** torch.empty(count, device=device).uniform_(-1, 1)
    room = (1 - 1 / scale).abs()[:, None]  # the part that is cut off, or the border
    place = torch.empty(count, 2, device=device).uniform_(-1, 1) * room
    mirror = 1 - 2 * torch.randint(0, 2, (count,), device=device).float()
    theta = torch.zeros(count, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = mirror / scale, 1 / scale
    theta[:, :, 2] = place
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = nn.functional.grid_sample(images, grid, align_corners=False)
    shifted = (labels + 1).float()[:, None]  # uint8: 255 becomes 0, as does what is outside
    shifted = nn.functional.grid_sample(shifted, grid, mode='nearest', align_corners=False)
    labels = shifted[:, 0].long() - 1
    light = torch.empty(count, 3, 1, 1, device=device).uniform_(-0.1, 0.1)
    light = light + torch.empty(count, 1, 1, 1, device=device).uniform_(0.7, 1.3)
    return (images * light).clamp(0, 255), labels.where(labels >= 0, IGNORED)


def batches(count: int, size: int, device: str) -> Iterator[Tensor]:
    """Endless numbers of pictures, every epoch in another order."""
    while True:
        order = torch.randperm(count, device=device)
        yield from order[: count - count % size or None].split(size)


def _semantic(job: Job, arch: str, splits: dict[str, Split], seconds: float) -> None:
    cfg = load_config(f'semfpn_fastvit_{arch}', pretrained=False)
    cfg.model.decode_head.update(num_classes=CLASSES, norm_cfg=dict(type='BN'))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model: Any = build_model(cfg).to(job.device).to(memory_format=torch.channels_last)
    parts = model.parameters()
    optimizer = torch.optim.AdamW(parts, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    train = splits['train']
    size = min(BATCH_SIZE, len(train.images))
    _warm_up(model, train, size)
    steps, curve, start = 0, [], time.monotonic()
    for chosen in batches(len(train.images), size, job.device):
        done = (time.monotonic() - start) / seconds
        if done >= 1:
            break
        if done >= (len(curve) + 1) / 6:
            curve.append(
                {'steps': steps, 'seconds': done * seconds, 'val_mIoU': score(model, splits['val'])}
            )
        rate = LEARNING_RATE * min(1, done / WARM_UP + 0.01) * (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group['lr'] = rate
        images, labels = augment(train, chosen)
        model.train()
        logits = logits_of(model, images)
        loss = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    took = time.monotonic() - start
    job.add(
        {
            'name': f'CamVid, semfpn_fastvit_{arch}',
            'seconds': took,
            'steps': steps,
            'epochs': steps * size / len(train.images),
            'images_per_second': steps * size / took,
            'val_mIoU': score(model, splits['val']),
            'test_mIoU': score(model, splits['test']),
            'curve': curve,
        }
    )


def logits_of(model: Any, images: Tensor) -> Tensor:
    """Logits (B, 11, H, W), float32, of pictures (B, 3, H, W), 0 to 255, computed in bfloat16."""
    mean, std = (images.new_tensor(x, dtype=torch.float32)[:, None, None] for x in (MEAN, STD))
    inputs = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16):
        logits = model(inputs)
    return nn.functional.interpolate(logits.float(), images.shape[2:], mode='bilinear')


def _warm_up(model: Any, split: Split, size: int) -> None:
    """Load the kernels of a step and of scoring, which takes seconds once."""
    state = copy.deepcopy(model.state_dict())
    for _ in range(2):
        model.train()
        logits_of(model, split.images[:size]).sum().backward()
        model.zero_grad()
    score(model, Split(split.images[:16], split.labels[:16]))
    model.load_state_dict(state)


@torch.inference_mode()
def score(model: Any, split: Split) -> float:
    """Mean IoU over the classes, per cent, at the size of the labels."""
    model.eval()
    device = split.images.device
    counts = torch.zeros(CLASSES, CLASSES, dtype=torch.int64, device=device)
    for images, labels in zip(split.images.split(16), split.labels.split(16), strict=True):
        predicted = logits_of(model, images).argmax(1)
        counts += count_pixels(predicted, labels, CLASSES, IGNORED)
    iou = class_scores(counts.cpu().numpy())['IoU']
    return 100 * float(np.nanmean(iou))


def _detector(job: Job) -> None:
    """Train Mask R-CNN on the sample data, and score it."""
    from fastvit_dense.engine import train

    arch, epochs = ('t8', 1) if job.quick else ('sa24', 12)
    config = f'maskrcnn_fastvit_{arch}'
    options = [f'train_cfg.max_epochs={epochs}', f'train_cfg.val_interval={epochs}']
    if job.quick:
        options += ['train_dataloader.dataset.indices=2', 'val_dataloader.dataset.indices=2']
    else:
        options += ['train_dataloader.batch_size=8', 'train_dataloader.num_workers=8']
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        runner = train(
            config, sample=True, work_dir=folder, amp=job.device == 'cuda', cfg_options=options
        )
        took = time.monotonic() - start
    steps = runner.message_hub.get_scalar('train/time')
    job.add(
        {
            'name': f'sample data, {config}',
            'seconds': took,
            'steps': runner.iter,
            'epochs': epochs,
            'images_per_second': runner.cfg.train_dataloader.batch_size / float(steps.mean()),
            'box_AP': float(runner.message_hub.get_scalar('val/bbox_mAP').current()),
            'mask_AP': float(runner.message_hub.get_scalar('val/segm_mAP').current()),
        }
    )
