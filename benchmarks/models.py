"""Whole models from an image file to a result, with the time of every part."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from benchmarks.machine import BenchmarkError, describe_machine
from benchmarks.networks import Schedule, reason_of
from benchmarks.parts import TimedPredictor
from benchmarks.pictures import make_picture, picture_size
from benchmarks.timing import time_in_turns
from fastvit_dense.backbones.reparam import reparameterize
from fastvit_dense.config.building import quiet_log
from fastvit_dense.config.stored import is_exported
from fastvit_dense.deploy.export import trace, write
from fastvit_dense.deploy.job import prepare
from fastvit_dense.deploy.quantize import quantize
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError, ImageError
from fastvit_dense.inference.predictor import Predictor, load_model
from fastvit_dense.inference.timing import PARTS
from fastvit_dense.tasks.config import load_config

CANDIDATE_BOXES = 500  # pairs of box and class that enter NMS where weights are random
DEFAULT = Schedule()
EXPORTED = ('openvino/fp32', 'openvino/bf16', 'openvino/int8')
FORMS = ('upstream', 'train', 'folded', 'folded/channels_last', *EXPORTED)


def benchmark_models(
    configs: Sequence[str],
    checkpoints: Sequence[str] = (),
    exported: Sequence[str] = (),
    *,
    image: str | None = None,
    forms: Sequence[str] = ('train', 'folded'),
    precisions: Sequence[str] = ('fp32',),
    schedule: Schedule = DEFAULT,
    sample: bool = False,
    cfg_options: Sequence[str] | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time models from an image file to a result, all forms of one config in the same rounds.

    Args:
        configs: Config files of any task.
        checkpoints: One for each config, or none for random weights.
        exported: Files of `tools/export.py`, only with a single config.
        image: Picture; by default a photograph of `picture_size`.
        forms: Of `FORMS`; 'upstream' is the train form with mmdet's own mask head, those of
            `EXPORTED` are files that the export writes, in int8 with ranges of the picture.
        precisions: 'bf16' adds OpenVINO files computed in bfloat16; PyTorch runs in fp32.
        schedule: Device, rounds and seconds for each config; sizes are the configs'.
        sample: See `load_config`.
        cfg_options: See `load_config`.
        progress: Called with lines to show.

    Returns:
        JSON-able: `machine`, `parts` and `rows` (see `_row`).

    Raises:
        BenchmarkError: Numbers of files that do not fit, or a bad value of the schedule.
        ConfigError, CheckpointError, CheckpointMismatch, ExportError, ImageError: A file of the
            user's that cannot be used.
    """
    schedule.check()
    if checkpoints and len(checkpoints) != len(configs):
        raise BenchmarkError(
            f'{len(checkpoints)} checkpoints for {len(configs)} configs: give one for each, or none'
        )
    if exported and len(configs) != 1:
        raise BenchmarkError('exported files need exactly one config: the one they were made from')
    for path in exported:
        if not is_exported(path):
            raise BenchmarkError(f'{path}: expected an exported file, .onnx or .xml')
    if image is not None and not Path(image).is_file():
        raise ImageError(f'{image}: no such file')
    machine = describe_machine(schedule.device)
    rows = []
    for index, path in enumerate(configs):
        cfg = load_config(path, sample=sample, cfg_options=cfg_options, pretrained=False)
        checkpoint = checkpoints[index] if checkpoints else None
        with TemporaryDirectory() as folder:
            picture = image or make_picture(folder, picture_size(cfg))
            compared = _Comparison(
                Path(path).stem, cfg, checkpoint, picture, folder, schedule, progress
            )
            rows += compared.run(forms, exported, precisions)
    return {'machine': machine, 'parts': list(PARTS), 'rows': rows}


class _Comparison:
    """All forms of one config."""

    def __init__(
        self,
        name: str,
        cfg: Config,
        checkpoint: str | None,
        picture: str,
        folder: str,
        schedule: Schedule,
        progress: Callable[[str], None],
    ) -> None:
        self.name, self.cfg, self.checkpoint = name, cfg, checkpoint
        self.picture, self.folder = picture, Path(folder)
        self.schedule, self.progress = schedule, progress
        self.notes: list[str] = []

    def run(
        self, forms: Sequence[str], exported: Sequence[str], precisions: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Rows of all forms, timed in turns."""
        if self.checkpoint is None:
            self.notes.append('random weights')
            self._make_buildable()
        builds = {form: lambda form=form: self._build(form) for form in forms}
        for path in exported:
            for precision in precisions:
                builds[f'{Path(path).name} {precision}'] = lambda path=path, precision=precision: (
                    _load_exported(self.cfg, path, precision)
                )
        rows, timed = {}, {}
        for form, build in builds.items():
            if form == 'upstream' and not self._has_own_mask_head():
                continue
            self.progress(f'{self.name} {form}')
            rows[form] = row = _row(self.name, form)
            try:
                predictor = TimedPredictor(build(), self.schedule.device)
                result = predictor(self.picture)
                row['picture'] = 'x'.join(map(str, result.image.shape[:2]))
                row['input'] = 'x'.join(map(str, predictor.input))
                row['detections'] = len(result.scores) if hasattr(result, 'scores') else None
                timed[form] = predictor
            except (ExportError, RuntimeError) as error:
                row['reason'] = reason_of(error)
        timings = time_in_turns(
            {form: lambda timer=timer: timer(self.picture) for form, timer in timed.items()},
            rounds=self.schedule.rounds,
            seconds=self.schedule.seconds,
        )
        first = next(iter(timings.values()), None)
        for form, timing in timings.items():
            row, parts = rows[form], timed[form].medians()
            row.update(
                timing.columns(first),
                part_seconds=parts,
                post_share=parts['post-processing'] / sum(parts.values()),
            )
        for row in rows.values():
            row['notes'] = list(self.notes)
        return list(rows.values())

    def _has_own_mask_head(self) -> bool:
        head = self.cfg.model.get('roi_head', {}).get('mask_head', {})
        return head.get('type') == 'RLEMaskHead'

    def _export(self, form: str) -> Predictor:
        """Write a file of the config's model and open it; files of one precision are written once.

        Raises:
            ExportError: It cannot be written, or not be run here.
        """
        precision = form.rpartition('/')[2]
        path = self.folder / ('int8.xml' if precision == 'int8' else 'fp32.xml')
        if not path.is_file():
            torch.manual_seed(0)
            with quiet_log():
                job = prepare(self.cfg, self.checkpoint)
            model, description = trace(job), job.description
            if precision == 'int8':
                image = job.predictor.reader(self.picture)[0]['inputs']
                model = quantize(model, [image.flip(0)[None].float().numpy()])
                description = replace(description, precision='int8')
            write(model, description, 'openvino', path)
        return _load_exported(self.cfg, str(path), precision)

    def _build(self, form: str) -> Predictor:
        if form in EXPORTED:
            return self._export(form)
        cfg = self.cfg
        if form == 'upstream':
            cfg = copy.deepcopy(cfg)
            cfg.model.roi_head.mask_head.type = 'FCNMaskHead'
        torch.manual_seed(0)
        with quiet_log():
            predictor = load_model(cfg, self.checkpoint, self.schedule.device)
        if form.startswith('folded'):
            reparameterize(predictor.model)
        if form.endswith('channels_last'):
            predictor.model.to(memory_format=torch.channels_last)
        return predictor

    def _make_buildable(self) -> None:
        """Settings without which random weights say nothing, or cannot be built."""
        model = self.cfg.model
        mano = model.get('mano', {})
        if mano.get('path') and not Path(mano['path']).is_file():
            model.mano = dict(standin=True)
            self.notes.append('the stand-in hand, without a MANO file')
        if 'roi_head' in model or 'bbox_head' in model:
            predictor = self._build('train')
            threshold = score_threshold(predictor, self.picture)
            if threshold is not None:
                test_cfg = model.test_cfg.get('rcnn', model.test_cfg)
                test_cfg.score_thr = threshold
                self.notes.append(
                    f'score threshold {threshold:.6f}, above which {CANDIDATE_BOXES} boxes enter '
                    'NMS: random weights find nothing above the usual one'
                )


def score_threshold(predictor: Predictor, picture: str) -> float | None:
    """The score that `CANDIDATE_BOXES` pairs of box and class reach; None without such a head."""
    model = predictor.model
    head: nn.Module | None = getattr(getattr(model, 'roi_head', model), 'bbox_head', None)
    if head is None or isinstance(head, nn.ModuleList):
        return None
    seen = []
    handle = head.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    predictor(picture)
    handle.remove()
    maps = [seen[0]] if isinstance(seen[0], torch.Tensor) else seen[0]  # of boxes, or (B, C, H, W)
    logits = [m if m.ndim == 2 else m.movedim(1, -1) for m in maps]
    scores = torch.cat([m.reshape(-1, head.num_classes + 1) for m in logits])
    scores = scores.softmax(-1)[:, :-1].flatten()
    count = min(CANDIDATE_BOXES, len(scores))
    return scores.topk(count).values[-1].item()


def _load_exported(cfg: Config, path: str, precision: str) -> Predictor:
    predictor = load_model(cfg, path)
    network = ExportedNetwork(path, threads=torch.get_num_threads(), bf16=precision == 'bf16')
    predictor.model.network.run = network.run
    return predictor


def _row(model: str, form: str) -> dict[str, Any]:
    """A row without results.

    `picture` and `input` of the network are height x width. `seconds`, `quartiles`,
    `spread`, `rounds` and `times_faster` (than the first row of the model) are as in
    `comparison`; `part_seconds` the medians of the parts, `post_share` the share of
    post-processing in their sum.
    """
    empty = ('picture', 'input', 'detections', 'seconds', 'quartiles', 'spread', 'rounds')
    empty += ('times_faster', 'times_faster_quartiles', 'part_seconds', 'post_share', 'reason')
    return {'model': model, 'form': form, **dict.fromkeys(empty), 'notes': []}
