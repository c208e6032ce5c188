"""Backbones on a GPU: forms, precisions, layouts, sizes, beside timm's."""

from dataclasses import dataclass

import torch

from benchmarks.backbones import PEERS, build_ours, networks_of
from benchmarks.gpu.job import Job
from benchmarks.networks import Schedule, compare_networks, setups_of
from benchmarks.roofline import time_operators

OURS = ('sa12', 'sa24', 'sa36', 'ma36')
TIMM = ('fastvit_sa24',)
BOTH = ('contiguous', 'channels_last')


@dataclass(frozen=True)
class Group:
    """Networks that are timed in the same rounds, every model in every way."""

    models: tuple[str, ...]
    size: int | tuple[int, int] = 512
    batch_size: int = 16
    forms: tuple[str, ...] = ('folded',)
    backends: tuple[str, ...] = ('cudagraph',)
    precisions: tuple[str, ...] = ('bf16',)
    layouts: tuple[str, ...] = ('channels_last',)


# In order of value; what comes after the time is over is left out.
GROUPS = (
    Group(('sa24', *TIMM), backends=('eager', 'cudagraph'), layouts=BOTH),
    Group((*OURS, *TIMM, 'resnet50', 'convnext_tiny')),
    Group(('sa24', *TIMM), forms=('train',), backends=('eager', 'cudagraph')),
    Group(('sa24', *TIMM), forms=('train', 'folded'), precisions=('fp32', 'fp16')),
    Group((*OURS, *TIMM, 'resnet50'), size=(800, 1344), batch_size=1),
    Group((*OURS, *TIMM, 'resnet50', 'convnext_tiny'), size=224, batch_size=64),
    Group(('sa24', *TIMM), backends=('compiled',)),
    Group(('sa24', *TIMM), size=224, batch_size=1, backends=('eager', 'cudagraph', 'compiled')),
    Group(PEERS),
    Group((*OURS, *TIMM), size=512, batch_size=1),
    Group(('sa24', *TIMM), batch_size=64),
    Group(('sa24', *TIMM), forms=('train',), backends=('compiled',)),
    Group(('sa24', *TIMM), backends=('compiled',), layouts=('contiguous',)),
    Group((*OURS, *TIMM), size=224, batch_size=16, precisions=('fp32', 'bf16', 'fp16')),
    Group(PEERS, size=224, batch_size=64),
    Group(PEERS, size=(800, 1344), batch_size=1),
)
QUICK = (
    Group(('t8', 'fastvit_t8'), 64, 1, ('folded',), ('eager', 'cudagraph'), ('fp32',)),
    Group(('t8',), (64, 96), 2, ('folded',), ('eager',), ('fp32',), ('contiguous',)),
)


def measure(job: Job) -> None:
    """Time one group after another; rows as of `compare_networks`."""
    for number, group in enumerate(QUICK if job.quick else GROUPS):
        if job.left() < 5:
            break
        job.attempt(str(group), _compare, job, group)
        if number == 0:
            job.attempt('profile', _profile, job)


def _compare(job: Job, group: Group) -> None:
    networks = [n for model in group.models for n in networks_of(model, group.forms)]
    results = compare_networks(
        networks,
        setups_of(group.backends, group.precisions, group.layouts),
        Schedule(
            (group.size,), (group.batch_size,), job.device, rounds=7, seconds=min(10, job.left())
        ),
    )
    job.found.setdefault('peaks', {}).update(results['peaks'])
    job.add(*results['rows'])


def _profile(job: Job) -> None:
    """Keep which operators, with which shapes, take the time of the deployed SA24."""
    name, size, batch_size = ('t8', 64, 1) if job.quick else ('sa24', 512, 16)
    model = build_ours(name, 'folded').to(job.device, torch.bfloat16)
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(batch_size, 3, size, size, device=job.device, dtype=torch.bfloat16)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(images)
    found = time_operators(model, images)
    total = sum(row['seconds'] for row in found)
    job.found['profile'] = [{**row, 'share': row['seconds'] / total} for row in found[:40]]
    job.found['profiled_seconds'] = total
    job.save()
