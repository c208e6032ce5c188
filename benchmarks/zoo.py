"""The numbers of docs/model_zoo.md: sizes of all configs, times of backbones and of whole models.

The run is a list of parts. Each is written into the file when it is done, and a run that was
stopped goes on with those that are not there.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.backbones import LIGHT, networks_of
from benchmarks.backends import Setup, bf16_refusal
from benchmarks.machine import BenchmarkError, bf16_slowdown, describe_machine
from benchmarks.models import EXPORTED, benchmark_models
from benchmarks.networks import Schedule, compare_networks
from benchmarks.output import write_benchmark
from benchmarks.tables import machine_line, number, rounds_of
from benchmarks.zoo_sizes import config_sizes
from fastvit_dense.evaluation.report.tables import table

REFERENCE = 'sa12'  # in every part of backbones, so that their rounds can be compared
FASTVIT = ('t8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36', 'mci0', 'mci2')
MOBILEVIT = ('xxs', 'xs', 's', '0.5', '1.0', '1.5', '2.0')
BACKBONES = {
    'FastViT': FASTVIT,
    'MobileViT': (REFERENCE, *MOBILEVIT),
    'light backbones of timm, 1': (REFERENCE, *LIGHT[:6]),
    'light backbones of timm, 2': (REFERENCE, *LIGHT[6:], 'resnet50'),
}
MODELS = (  # one of each head and family of backbones
    'semfpn_fastvit_sa12',
    'handmesh_fastvit_sa12',
    'ssdlite_mobilevit_s',
    'deeplabv3_mobilevit_s',
    'semfpn_mobilevitv2_100',
    'semfpn_mobileclip2_s0',
    'maskrcnn_fastvit_sa12',
    'maskrcnn_mobilevit_s',
)
QUICK_BACKBONES = {'FastViT': ('t8',), 'light backbones of timm': ('t8', 'starnet_s050')}
QUICK_MODELS = ('handmesh_fastvit_t8',)
PRECISIONS = ('fp32', 'bf16', 'int8')
NO_INT8 = 'PyTorch has int8 convolutions only in graphs that are prepared for it by hand'
SLOW = 3.0  # times fp32: bfloat16 without instructions for it


@dataclass(frozen=True)
class Part:
    """A piece of the run.

    Attributes:
        name: In the file.
        cost: Share of the run's time, in units of a backbone.
        measure: Returns a JSON-able dict.
    """

    name: str
    cost: float
    measure: Callable[[], dict[str, Any]]


def benchmark_zoo(
    out: Path,
    schedule: Schedule,
    *,
    quick: bool = False,
    progress: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Measure all parts that are not in the file yet.

    Args:
        out: The file, JSON; written after every part.
        schedule: Device and rounds; seconds are those of one backbone or of one whole model.
        quick: Few and small ones: only whether all runs.
        progress: Called with lines to show.
        clock: Seconds.

    Returns:
        JSON-able: `machine`, `protocol`, `not_measured` (way of running to reason) and `parts`:
        by name what `compare_networks`, `benchmark_models` or `config_sizes` returned, with the
        `minutes` it took.

    Raises:
        BenchmarkError: The file is of another machine or another protocol.
    """
    schedule.check()
    refused = refusals()
    results = _begin(out, schedule, quick, refused)
    parts = parts_of(schedule, refused, quick, progress)
    left = [part for part in parts if part.name not in results['parts']]
    if len(left) < len(parts):
        progress(f'{out}: {len(parts) - len(left)} of {len(parts)} parts are there already')
    start, done = clock(), 0.0
    for index, part in enumerate(left):
        gone = clock() - start
        cost = sum(p.cost for p in left[index:])
        eta = f', about {gone / done * cost / 60:.1f} to go' if done else ''
        progress(f'{part.name} ({index + 1} of {len(left)}): {gone / 60:.1f} minutes gone{eta}')
        begun = clock()
        measured = part.measure()
        results['parts'][part.name] = {**measured, 'minutes': (clock() - begun) / 60}
        _write(out, results)
        done += part.cost
    return results


def parts_of(
    schedule: Schedule,
    refused: Mapping[str, str],
    quick: bool,
    progress: Callable[[str], None],
) -> list[Part]:
    """All parts, in the order in which they are measured."""
    parts = [Part('sizes', 2, partial(_sizes, QUICK_MODELS if quick else None, progress))]
    for name, models in (QUICK_BACKBONES if quick else BACKBONES).items():
        measure = partial(_backbones, models, schedule, refused, progress)
        parts.append(Part(name, len(models), measure))
    for config in QUICK_MODELS if quick else MODELS:
        measure = partial(_model, config, schedule, refused, progress)
        parts.append(Part(config, 8 if config.startswith('maskrcnn') else 2, measure))
    return parts


def refusals() -> dict[str, str]:
    """Ways that cannot be run here, or not in a sensible time: the reasons."""
    reasons = {'eager int8': NO_INT8}
    slower = bf16_slowdown()
    if slower > SLOW:
        reasons['eager bf16'] = (
            'this processor has no instructions for bfloat16: a convolution takes '
            f'{slower:.0f} times as long as in fp32'
        )
    if refusal := bf16_refusal():
        reasons['openvino bf16'] = refusal
    return reasons


def _begin(out: Path, schedule: Schedule, quick: bool, refused: dict[str, str]) -> dict[str, Any]:
    machine = describe_machine(schedule.device)
    begun = {
        'machine': machine,
        'protocol': json.loads(json.dumps({**asdict(schedule), 'quick': quick})),
        'not_measured': refused,
        'parts': {},
    }
    if not out.is_file():
        return begun
    try:
        found = json.loads(out.read_text())
        parts = found['parts'].items()
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BenchmarkError(f'{out}: no results of this benchmark; name another file') from error
    same = ('device', 'cpu', 'cores', 'threads', 'torch')
    mine = [begun['protocol'], *(machine[key] for key in same)]
    theirs = [found.get('protocol'), *(found.get('machine', {}).get(key) for key in same)]
    for name, ours, other in zip(('protocol', *same), mine, theirs, strict=True):
        if ours != other:
            raise BenchmarkError(
                f'{out}: begun with another {name}: {other}, this run has {ours}; go on as it was '
                'begun, or name another file'
            )
    return {**begun, 'parts': dict(parts)}


def _write(out: Path, results: dict[str, Any]) -> None:
    beside = out.with_name(f'{out.name}.part')
    write_benchmark(beside, results)
    os.replace(beside, out)


def _sizes(configs: Sequence[str] | None, progress: Callable[[str], None]) -> dict[str, Any]:
    return {'rows': config_sizes(configs, progress)}


def _backbones(
    models: Sequence[str],
    schedule: Schedule,
    refused: Mapping[str, str],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    networks = [networks_of(name)[-1] for name in models]  # folded where it can be
    setups = [
        Setup(backend, precision)
        for backend in ('eager', 'openvino')
        for precision in PRECISIONS
        if f'{backend} {precision}' not in refused
    ]
    schedule = replace(schedule, seconds=schedule.seconds * len(models))
    return compare_networks(networks, setups, schedule, None, progress)


def _model(
    config: str, schedule: Schedule, refused: Mapping[str, str], progress: Callable[[str], None]
) -> dict[str, Any]:
    files = [form for form in EXPORTED if form.replace('/', ' ') not in refused]
    # more rounds for what is short: all configs have the same seconds
    longer = replace(schedule, seconds=5 * schedule.seconds)
    return benchmark_models([config], forms=('folded', *files), schedule=longer, progress=progress)


def zoo_table(results: Mapping[str, Any]) -> str:
    """All times, with the reasons of those that are not there."""
    rows, reasons = [], [f'- {way}: {why}' for way, why in results['not_measured'].items()]
    for part in results['parts'].values():
        for row in part['rows']:
            if 'seconds' not in row:
                continue
            form = row['form'] if 'detections' in row else ' '.join(row['label'].split('/')[2:])
            time_of = number(row['seconds'], '.1f', 1e3) or 'not measured'
            spread = number(row['spread'], '.0%')
            rows.append([row['model'], form, time_of, spread])
            if row['reason']:
                reasons.append(f'- {row["model"]} {form}: {row["reason"]}')
    timed = {'rows': [r for p in results['parts'].values() for r in p['rows'] if r.get('rounds')]}
    return '\n\n'.join(
        [
            table(['model', 'run by', 'ms', 'spread'], rows, text_columns=2),
            machine_line(results),
            f'Medians of {rounds_of(timed)} rounds in turns; spread: quartiles over median.',
            *(['Not measured:\n\n' + '\n'.join(reasons)] if reasons else []),
        ]
    )
