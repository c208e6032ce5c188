"""Prediction on a GPU from picture files to results, one at a time and sixteen together."""

import time
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from benchmarks.gpu.hands import STANDIN
from benchmarks.gpu.job import Job
from benchmarks.machine import wait_for
from benchmarks.models import benchmark_models
from benchmarks.networks import Schedule
from benchmarks.pictures import make_picture, picture_size
from fastvit_dense.backbones.reparam import reparameterize
from fastvit_dense.inference.predictor import load_model
from fastvit_dense.tasks.config import load_config

CONFIGS = ('semfpn_fastvit_sa24', 'maskrcnn_fastvit_sa24', 'handmesh_fastvit_ma36')
QUICK = ('semfpn_fastvit_t8',)
BATCH_SIZE = 16


def measure(job: Job) -> None:
    """Time every task by part, then in batches; and what other runtimes say."""
    configs = QUICK if job.quick else CONFIGS
    for number, config in enumerate(configs):
        share = job.left() / (len(configs) - number)
        job.attempt(config, _by_part, job, config, share * 0.5)
        job.attempt(config, _in_batches, job, config, share * 0.25)
    job.attempt('runtimes', _runtimes, job)


def _options(config: str, quick: bool) -> list[str]:
    options = []
    if config.startswith('handmesh'):
        options += STANDIN
    if quick:
        options += ['test_dataloader.dataset.pipeline.1.scale=(64,64)']
    return options


def _by_part(job: Job, config: str, seconds: float) -> None:
    results = benchmark_models(
        [config],
        forms=('train', 'folded', 'folded/channels_last'),
        schedule=Schedule(device=job.device, rounds=5, seconds=max(1.0, seconds)),
        cfg_options=_options(config, job.quick),
    )
    job.add(*({'name': config, 'batch_size': 1, **row} for row in results['rows']))


def _in_batches(job: Job, config: str, seconds: float) -> None:
    """Decode and resize one picture after another, run the network on all of them together."""
    cfg = load_config(config, pretrained=False, cfg_options=_options(config, job.quick))
    predictor = load_model(cfg, device=job.device)
    reparameterize(predictor.model)
    size = 2 if job.quick else BATCH_SIZE
    with TemporaryDirectory() as folder:
        picture = make_picture(folder, picture_size(cfg))
        start, count, network = time.monotonic(), 0, 0.0
        while count < 2 * size or time.monotonic() - start < seconds:
            if count == size:  # the first batch warms up
                start, network = time.monotonic(), 0.0
            read = [predictor.reader.load({'img_path': picture, 'img_id': 0}) for _ in range(size)]
            pictures = [np.ascontiguousarray(one['img'][..., ::-1]) for one in read]
            batch = pseudo_collate([predictor.reader.transform(one) for one in read])
            wait_for(job.device)
            before = time.monotonic()
            with torch.inference_mode():
                samples = predictor.model.test_step(batch)
            wait_for(job.device)
            network += time.monotonic() - before
            for sample, image in zip(samples, pictures, strict=True):
                predictor.to_result(sample, image)
            count += size
        took = time.monotonic() - start
    job.add(
        {
            'name': config,
            'batch_size': size,
            'form': 'folded',
            'images_per_second': (count - size) / took,
            'network_share': network / took,
        }
    )


def _runtimes(job: Job) -> None:
    """Tell which other runtimes could use this GPU."""
    row = {'name': 'other runtimes', 'onnxruntime': 'not installed', 'tensorrt': 'not installed'}
    if find_spec('onnxruntime'):
        row['onnxruntime'] = ', '.join(import_module('onnxruntime').get_available_providers())
    if find_spec('tensorrt'):
        row['tensorrt'] = import_module('tensorrt').__version__
    job.add(row)
