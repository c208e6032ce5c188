"""Hands on a GPU: pictures drawn there, both heads trained for the same time, frames per second."""

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from benchmarks.backends import captured
from benchmarks.gpu.job import Job
from benchmarks.machine import wait_for
from benchmarks.timing import time_in_turns
from fastvit_dense.backbones.reparam import reparameterize
from fastvit_dense.datasets.sample.hands import PALM, SIZE, SKIN, Hands, sample_hands
from fastvit_dense.datasets.sample.photos import PHOTOS, read_photo
from fastvit_dense.evaluation.hand_scores import evaluate_hand
from fastvit_dense.evaluation.mean_pose import mean_pose_errors
from fastvit_dense.hand.mano import Mano
from fastvit_dense.hand.standin import standin_mano
from fastvit_dense.inference.predictor import build_model
from fastvit_dense.tasks.config import load_config

STANDIN = ['model.mano.standin=True', 'model.mano.path=None']  # --cfg-options
HEADS = ('handmesh_fastvit_sa24', 'handmesh_token_fastvit_sa24')
QUICK_HEADS = ('handmesh_fastvit_t8', 'handmesh_token_fastvit_t8')
BATCH_SIZE = 128
WARM_UP_STEPS = 2  # they load kernels, which takes seconds
LEARNING_RATE, WEIGHT_DECAY = 5e-4, 1e-2
PAPER_FPS = 218  # FastViT paper, Table 8: MA36 with a hand head, on an RTX 2080 Ti


@dataclass(frozen=True)
class Pictures:
    """Drawn hands on the device: (N, 3, 224, 224) uint8, RGB, and their truth."""

    images: Tensor
    hands: Hands


def measure(job: Job) -> None:
    """Draw, train and score, then time predictions."""
    heads, count, held_out = (QUICK_HEADS, 4, 2) if job.quick else (HEADS, 20_000, 1_000)
    start = time.monotonic()
    everything = draw_hands(count + held_out, job.device)
    wait_for(job.device)
    job.add({'name': 'drawing', 'hands': count + held_out, 'seconds': time.monotonic() - start})
    job.attempt('frames', _frames, job)
    seconds = 1.0 if job.quick else (job.left() - 8) / len(heads)
    for config in heads:
        job.attempt(config, _train, job, config, everything, held_out, seconds)


def draw_hands(count: int, device: str) -> Pictures:
    """Draw random stand-in hands over free photographs with PyTorch3D's rasteriser."""
    torch.manual_seed(0)
    hands = sample_hands(count, np.random.default_rng(0))
    photos = _photo_stack(device)
    images = [
        _draw(hands, slice(first, first + 100), photos, device) for first in range(0, count, 100)
    ]
    return Pictures(torch.cat(images), hands)


def _photo_stack(device: str) -> Tensor:
    """(N, 3, 512, 512) float32, 0 to 1."""
    photos = [
        torch.from_numpy(np.ascontiguousarray(read_photo(photo.name)[..., :3])).permute(2, 0, 1)[
            None
        ]
        for photo in PHOTOS
    ]
    resized = [
        nn.functional.interpolate(p.float() / 255, (512, 512), mode='area').to(device)
        for p in photos
    ]
    return torch.cat(resized)


def _draw(hands: Hands, part: slice, photos: Tensor, device: str) -> Tensor:
    """Pictures of some hands: skin, a distant light, noise; no forearm."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    vertices = torch.from_numpy(hands.verts[part]).float().to(device)
    K = torch.from_numpy(hands.K[part]).float().to(device)
    model = standin_mano()
    faces = torch.from_numpy(model.f.astype(np.int64)).to(device)
    count = len(vertices)
    projected = vertices @ K.mT
    unit = 1 - 2 * projected[..., :2] / projected[..., 2:] / SIZE  # PyTorch3D: x left, y up
    meshes = Meshes(torch.cat([unit, vertices[..., 2:]], -1), faces.expand(count, -1, -1))
    found, _, weights, _ = rasterize_meshes(
        meshes, SIZE, blur_radius=0.0, faces_per_pixel=1, bin_size=0, perspective_correct=True
    )
    found, weights = found[..., 0], weights[..., 0, :]

    corners = vertices[:, faces]
    normals = torch.linalg.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    )
    smooth = torch.zeros_like(vertices)
    for corner in range(3):
        smooth.index_add_(1, faces[:, corner], normals)
    smooth = nn.functional.normalize(smooth, dim=-1)
    light = torch.randn(count, 3, device=device) * 0.6 + torch.tensor(
        [0, -0.4, -0.8], device=device
    )
    shade = (smooth * nn.functional.normalize(light, dim=-1)[:, None]).sum(-1).abs()
    tone = torch.rand(count, 1, 1, device=device) * (len(SKIN) - 1.001)
    skins = torch.from_numpy(SKIN).float().to(device)
    low = tone.long()[:, 0, 0]
    skin = torch.lerp(skins[low], skins[low + 1], (tone - tone.floor())[:, 0])[:, None]
    palm = _palm(model).to(device)[None, :, None]
    skin = skin + 0.35 * palm * (torch.from_numpy(PALM).float().to(device) - skin)
    colors = skin * (0.45 + 0.55 * shade[..., None])

    packed = colors[:, faces].flatten(0, 1)  # found counts the faces of all meshes of the batch
    seen = found >= 0
    drawn = (packed[found.clamp(min=0)] * weights[..., None]).sum(-2)
    behind = _backgrounds(photos, count)
    images = torch.where(seen[..., None], drawn, behind.permute(0, 2, 3, 1))
    images = images + torch.randn_like(images) * 0.01
    return (255 * images).clamp(0, 255).round().byte().permute(0, 3, 1, 2)


def _palm(model: Any) -> Tensor:
    from fastvit_dense.hand.render import vertex_normals

    normals = vertex_normals(model.v_template, model.f.astype(np.int64))
    return torch.from_numpy((-normals[:, 1] * 1.5).clip(0, 1)).float()


def _backgrounds(photos: Tensor, count: int) -> Tensor:
    """(count, 3, 224, 224): random squares of random photographs, some mirrored."""
    device = photos.device
    share = torch.empty(count, device=device).uniform_(0.35, 0.9)
    theta = torch.zeros(count, 2, 3, device=device)
    theta[:, 0, 0] = share * (1 - 2 * torch.randint(0, 2, (count,), device=device))
    theta[:, 1, 1] = share
    theta[:, :, 2] = torch.empty(count, 2, device=device).uniform_(-1, 1) * (1 - share)[:, None]
    grid = nn.functional.affine_grid(theta, [count, 3, SIZE, SIZE], align_corners=False)
    chosen = torch.randint(0, len(photos), (count,), device=device)
    light = torch.empty(count, 1, 1, 1, device=device).uniform_(0.6, 1.2)
    return nn.functional.grid_sample(photos[chosen], grid, align_corners=False) * light


def build(config: str, device: str) -> tuple[Any, Tensor, Tensor]:
    """Build a hand model with the stand-in; return it with mean and deviation of its input."""
    cfg = load_config(
        config,
        cfg_options=STANDIN,
        pretrained=False,
    )
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = build_model(cfg).to(device).to(memory_format=torch.channels_last)
    normal = cfg.model.data_preprocessor
    mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (normal.mean, normal.std))
    return model, mean, std


def _train(job: Job, config: str, pictures: Pictures, held_out: int, seconds: float) -> None:
    model, mean, std = build(config, job.device)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    count = len(pictures.images) - held_out
    size = min(BATCH_SIZE, count)
    start = time.monotonic()
    for steps in itertools.count():
        if steps <= WARM_UP_STEPS:
            start = time.monotonic()
        done = (time.monotonic() - start) / seconds
        if done >= 1:
            break
        chosen = np.random.default_rng(steps).integers(0, count, size)
        rate = LEARNING_RATE * min(1, done / 0.05 + 0.01) * (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group['lr'] = rate
        images = pictures.images[torch.from_numpy(chosen).to(job.device)].float()
        light = torch.empty(size, 3, 1, 1, device=job.device).uniform_(0.85, 1.15)
        images = (((images * light) - mean) / std).contiguous(memory_format=torch.channels_last)
        samples = [_sample(pictures.hands, i) for i in chosen]
        model.train()
        with torch.autocast(job.device, torch.bfloat16):
            losses = model(images, samples, mode='loss')
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    took = time.monotonic() - start
    scores = _score(job, model, pictures, held_out, mean, std)
    hands = pictures.hands
    mean_pose = mean_pose_errors(hands.xyz[count:], hands.verts[count:], Mano(standin_mano()))
    job.add(
        {
            'name': config,
            'seconds': took,
            'steps': steps,
            'images_per_second': (steps - WARM_UP_STEPS) * size / took,
            'hands': count,
            'held_out': held_out,
            'PA-MPJPE': scores['PA-MPJPE'],
            'PA-MPVPE': scores['PA-MPVPE'],
            'mean_pose_PA-MPJPE': mean_pose['PA-MPJPE'],
        }
    )


def _sample(hands: Hands, index: int, truth: bool = True) -> BaseDataElement:
    sample = BaseDataElement(metainfo={'K': hands.K[index]})
    if truth:
        sample.gt_hand = BaseDataElement(
            joints=torch.from_numpy(hands.xyz[index]).float(),
            vertices=torch.from_numpy(hands.verts[index]).float(),
        )
    return sample


@torch.inference_mode()
def _score(
    job: Job, model: Any, pictures: Pictures, held_out: int, mean: Tensor, std: Tensor
) -> dict[str, float]:
    model.eval()
    hands, first = pictures.hands, len(pictures.images) - held_out
    joints, vertices = [], []
    for numbers in torch.arange(first, first + held_out).split(100):
        images = (pictures.images[numbers.to(job.device)] - mean) / std
        images = images.contiguous(memory_format=torch.channels_last)
        samples = [_sample(hands, int(i), truth=False) for i in numbers]
        for sample in model(images, samples, mode='predict'):
            joints.append(sample.pred_hand.joints.float().cpu().numpy())
            vertices.append(sample.pred_hand.vertices.float().cpu().numpy())
    return evaluate_hand(
        hands.xyz[first:], hands.verts[first:], np.stack(joints), np.stack(vertices)
    )


def _frames(job: Job) -> None:
    """Frames per second of the network, folded, pictures in the GPU's memory to vertices."""
    config = 'handmesh_fastvit_t8' if job.quick else 'handmesh_fastvit_ma36'
    model, _, _ = build(config, job.device)
    model = reparameterize(model.eval())
    # the hand layer and its head stay in float32: they are small, and rotations need the digits
    model.backbone.to(torch.bfloat16)
    model.backbone.register_forward_hook(lambda *args: tuple(x.float() for x in args[-1]))
    calls = {}
    for batch_size in (1, 2) if job.quick else (1, 32):
        images = torch.randn(batch_size, 3, SIZE, SIZE, device=job.device, dtype=torch.bfloat16)
        images = images.contiguous(memory_format=torch.channels_last)
        calls[f'eager, batch {batch_size}'] = _eager(model, images, job.device)
        if job.device == 'cuda':
            # nothing waits while the graph is captured
            graph = job.attempt('CUDA graph', captured, _eager(model, images, 'cpu'))
            calls |= {f'CUDA graph, batch {batch_size}': graph} if graph else {}
    timings = time_in_turns(calls, rounds=10, seconds=2 if job.quick else 6)
    for name, timing in timings.items():
        rate = int(name.split()[-1]) / timing.median
        row = {'name': f'{config}, {name}', 'frames_per_second': rate, 'paper': PAPER_FPS}
        job.add({**row, **timing.columns(None)})


def _eager(model: Any, images: Tensor, device: str) -> Any:
    def call() -> Any:
        with torch.inference_mode():
            hand = model(images)
            out = model.mano(hand.global_orient, hand.hand_pose, hand.betas)
        wait_for(device)
        return out

    return call
