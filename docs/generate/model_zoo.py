"""The tables at the end of docs/model_zoo.md: all configs, their sizes, and published peers."""

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from fastvit_dense.checkpoints.sizes import SIZES
from fastvit_dense.evaluation.report.tables import table

from .code import ROOT

PATH = ROOT / 'docs/model_zoo.md'
LATENCIES = ROOT / 'docs/results/model_zoo.json'
COMMAND = 'python tools/benchmark.py zoo --threads 1 --out docs/results/model_zoo.json'
START, END = '<!-- tables of models, made by `make docs` -->\n', '<!-- end of the tables -->\n'

# As the sources state them, in millions and percent; empty where they say nothing. Mask R-CNN 1x on
# COCO val2017, Semantic FPN on ADE20K val. dist: distilled weights; 450: so many ImageNet epochs.
# name, parameters, box AP, mask AP, mIoU, source
PEERS = (
    ('LSNet-T', '11.4', '35.0', '32.7', '40.1', 'jameslahm/lsnet READMEs (CVPR 2025)'),
    ('LSNet-S', '16.1', '37.4', '34.8', '41.6', 'jameslahm/lsnet READMEs (CVPR 2025)'),
    ('FastViT-SA12', '10.9', '38.9', '35.9', '38.0', 'FastViT, Tables 9 and 10'),
    ('SHViT-S4', '16.5', '39.0', '35.9', '', 'ysj9909/SHViT downstream README'),
    ('RepViT-M1.1 (dist)', '8.2', '39.8', '37.2', '40.6', 'RepViT, CVPR 2024'),
    ('MobileMamba-B1', '17.1', '40.6', '37.4', '', 'lewandofskee/MobileMamba README'),
    ('MogaNet-XT', '3.0', '40.7', '37.6', '40.3', 'Westlake-AI/MogaNet READMEs'),
    ('LSNet-B', '23.2', '40.8', '37.8', '43.1', 'jameslahm/lsnet READMEs (CVPR 2025)'),
    ('iFormer-M (dist)', '8.9', '40.8', '37.9', '42.4', 'iFormer, ICLR 2025'),
    ('RepNeXt-M3 (dist)', '7.8', '40.8', '37.8', '40.6', 'suous/RepNeXt README'),
    ('SwiftFormer-L1 (dist)', '12.1', '41.2', '38.1', '41.4', 'SwiftFormer'),
    ('RepViT-M1.5 (dist)', '14.0', '41.6', '38.6', '43.6', 'RepViT, CVPR 2024'),
    ('FastViT-SA24', '20.6', '42.0', '38.0', '41.0', 'FastViT, Tables 9 and 10'),
    ('iFormer-L (dist)', '14.7', '42.2', '39.1', '44.5', 'iFormer, ICLR 2025'),
    ('TinyViM-B', '11.0', '42.3', '38.7', '41.9', 'xwmaxwma/TinyViM README'),
    ('MogaNet-T', '5.2', '42.6', '39.1', '43.1', 'Westlake-AI/MogaNet READMEs'),
    ('RepNeXt-M4 (dist)', '13.3', '42.9', '39.1', '43.3', 'suous/RepNeXt README'),
    ('EfficientFormerV2-S2 (450)', '12.6', '43.4', '39.5', '42.4', 'EfficientFormerV2'),
    ('RecNeXt-M4 (dist)', '', '43.5', '39.7', '43.6', 'suous/RecNeXt README'),
    ('RecNeXt-A4 (dist)', '', '43.5', '39.8', '43.0', 'suous/RecNeXt README'),
    ('EfficientMod-s (dist)', '12.9', '43.6', '40.3', '46.0', 'ma-xu/EfficientMod READMEs'),
    ('FastViT-SA36', '30.4', '43.8', '39.4', '42.9', 'FastViT, Tables 9 and 10'),
    ('TinyViM-L', '31.7', '44.5', '40.7', '44.2', 'xwmaxwma/TinyViM README'),
    ('RepNeXt-M5 (dist)', '21.7', '44.7', '40.7', '45.0', 'suous/RepNeXt README'),
    ('FastViT-MA36', '42.7', '45.1', '40.5', '44.6', 'FastViT, Tables 9 and 10'),
    ('MogaNet-S', '25', '46.6', '42.2', '47.7', 'Westlake-AI/MogaNet READMEs (80k x 16)'),
)
# of about the same size: name above and in timm, FastViT above and its variant
PAIRS = (
    ('RepViT-M1.1', 'repvit_m1_1', 'FastViT-SA12', 'sa12'),
    ('SwiftFormer-L1', 'swiftformer_l1', 'FastViT-SA12', 'sa12'),
    ('iFormer-M', 'iformer_m', 'FastViT-SA12', 'sa12'),
    ('RepViT-M1.5', 'repvit_m1_5', 'FastViT-SA24', 'sa24'),
    ('iFormer-L', 'iformer_l', 'FastViT-SA24', 'sa24'),
)
VERDICT = """**Where FastViT is not the best choice**: where accuracy for its size counts alone.
RepViT-M1.5 has SA24's box AP within half a point and 2.6 mIoU more with two thirds of its
parameters; iFormer-L and MogaNet-T are better in all three numbers, and smaller. (Rows marked dist
start from distilled weights; which weights FastViT's started from is not known.) Nor is it on CPUs
and desktop GPUs: MobileNetV4's authors find it fast on Apple's neural engine "but not on CPUs and
GPUs" (their Table 6), and in plain PyTorch it is no faster than ResNet-50
([benchmarks.md](benchmarks.md) has our numbers). It is a good choice on Apple's neural engine, and
where MobileCLIP's or FastVLM's weights are what you start from."""


def render(latencies: Path = LATENCIES) -> str:
    """The page, its tables made anew.

    Args:
        latencies: What `tools/benchmark.py zoo` wrote; without that file there are no times, and
            no sizes of whole models.
    """
    before, rest = PATH.read_text(encoding='utf-8').split(START)
    measured = json.loads(latencies.read_text()) if latencies.is_file() else {'parts': {}}
    times = read_latencies(measured)
    parts = ['## All configs', _caption(measured), config_table(times, whole_models(measured))]
    parts += ['## Which one?', VERDICT, _peers()]
    if times:
        parts.insert(-1, measured_verdict(times))
        parts += ['### Measured here', _light_caption(measured), light_table(measured)]
        parts += ['Whole models, from an image file to a result:', model_table(measured)]
    return (
        f'{before}{START}\n{chr(10).join(f"{part}{chr(10)}" for part in parts)}\n{END}'
        + (rest.split(END)[1])
    )


def read_latencies(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return milliseconds by way of running ('openvino fp32') and backbone, folded.

    A backbone that is in several parts of the run has its median over all their rounds.
    """
    rounds: dict[str, dict[str, list[float]]] = {}
    for row in backbone_rows(results):
        if row['rounds']:
            way = f'{row["backend"]} {row["precision"]}'
            rounds.setdefault(way, {}).setdefault(row['model'], []).extend(row['rounds'])
    return {way: {m: 1e3 * median(r) for m, r in of.items()} for way, of in rounds.items()}


def backbone_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of backbones of all parts."""
    return [row for part in results['parts'].values() for row in part['rows'] if 'backend' in row]


def whole_models(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameters, multiply-accumulates and input size of the configs' whole models, by name."""
    rows = results['parts'].get('sizes', {'rows': []})['rows']
    return {row['config']: row for row in rows if row['macs']}


def _caption(results: Mapping[str, Any]) -> str:
    timed = (
        'Milliseconds are those of the folded backbone at 512x512, batch 1; all times of this page '
        'are of one run ([results](results/model_zoo.json)).'
        if backbone_rows(results)
        else f'Times are to come from `{COMMAND}`, on a machine that does nothing else.'
    )
    return (
        'The first parameters and multiply-accumulates are of the whole model, folded, on one '
        'picture of the size that it is tested at (a two-stage detector with 1000 boxes and 100 '
        'masks); the second of the backbone, its parameters as trained, at 512x512. Expected '
        f'numbers are published ones, not measured here. {timed}'
    )


def _light_caption(results: Mapping[str, Any]) -> str:
    machine = results['machine']
    missing = ''.join(f' No {way}: {why}.' for way, why in results['not_measured'].items())
    remark = f' {results["remark"]}' if 'remark' in results else ''  # by hand, of a disturbed run
    return (
        f'Milliseconds of backbones at 512x512, batch 1, folded where they fold, with random '
        f'weights: `{COMMAND}`, {machine["cpu"]}, threads: {machine["threads"]}, PyTorch '
        f'{machine["torch"]}; eager is PyTorch.{missing} int8 files are those of the export, with '
        f"the ranges of one picture. Those not of this package are timm's.{remark}"
    )


def measured_verdict(times: Mapping[str, Mapping[str, float]]) -> str:
    """Say in words what peers take of the time of a FastViT, and what they publish beside it.

    Args:
        times: From `read_latencies`.
    """
    published = {name.removesuffix(' (dist)'): numbers for name, *numbers in PEERS}
    sentences = []
    for way in ('openvino fp32', 'eager fp32'):
        parts = []
        for peer, model, ours, arch in PAIRS:
            if {model, arch} <= times.get(way, {}).keys():
                share = times[way][model] / times[way][arch]
                numbers = [f'{published[name][1]} / {published[name][3]}' for name in (peer, ours)]
                parts.append(f'{peer} {share:.2f} of {ours} ({numbers[0]} against {numbers[1]})')
        if parts:
            where = {'openvino fp32': 'OpenVINO', 'eager fp32': 'PyTorch'}[way]
            sentences.append(f'in {where} {", ".join(parts)}')
    return (
        "Time of a peer as a share of a FastViT's, measured below in fp32, and in brackets the "
        f'published box AP / mIoU of both: {"; ".join(sentences)}. Where a share is below 1 and '
        'both numbers are higher, take the peer.'
    )


def light_table(results: Mapping[str, Any]) -> str:
    """Return the times of our backbones and of the light ones of timm, the fastest first."""
    times, sizes = read_latencies(results), {}
    for row in backbone_rows(results):
        if row['macs']:
            sizes[row['model']] = row['parameters'], row['macs']
    slowest = max(next(iter(times.values())).values())
    order = sorted(sizes, key=lambda model: times['openvino fp32'].get(model, slowest))
    families = {arch: family for family, arch in SIZES}
    rows = [
        [
            f'{families[model]} {model}' if model in families else model,
            f'{sizes[model][0] / 1e6:.2f}',
            f'{sizes[model][1] / 1e9:.2f}',
            *(f'{of[model]:.1f}' if model in of else '' for of in times.values()),
        ]
        for model in order
    ]
    return table(['backbone', 'params M', 'GMACs', *(f'{way} ms' for way in times)], rows)


def model_table(results: Mapping[str, Any]) -> str:
    """Return milliseconds of whole models in PyTorch and in OpenVINO."""
    rows: dict[str, dict[str, Any]] = {}
    for part in results['parts'].values():
        for row in part['rows']:
            if 'detections' in row and row['seconds']:
                cells = rows.setdefault(row['model'], {'input': row['input']})
                form = row['form'].replace('folded', 'eager fp32').replace('/', ' ')
                cells[form] = f'{1e3 * row["seconds"]:.0f}'
    forms = list(dict.fromkeys(form for cells in rows.values() for form in cells))
    header = ['config', *('input' if form == 'input' else f'{form} ms' for form in forms)]
    return table(header, [[name, *(c.get(f, '') for f in forms)] for name, c in rows.items()])


def config_table(
    times: Mapping[str, Mapping[str, float]], models: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return a row for every config that is shipped.

    Args:
        times: From `read_latencies`.
        models: From `whole_models`.
    """
    header = ['config', 'params M', 'GMACs', 'at', 'backbone', 'params M', 'GMACs']
    header += [*(f'{way} ms' for way in times), 'expected']
    rows = []
    folder = ROOT / 'configs'
    for path in sorted(p for p in folder.rglob('*.py') if '_base_' not in p.parts):
        backbone, arch = backbone_of(path)
        parameters, macs = SIZES[backbone, arch]
        timed = [f'{ways[arch]:.1f}' if arch in ways else '' for ways in times.values()]
        sizes = [f'{parameters / 1e6:.2f}', f'{macs / 1e9:.2f}']
        name = path.relative_to(folder).with_suffix('').as_posix()
        whole = ['', '', '']
        if name in models:
            one = models[name]
            whole = [f'{one["parameters"] / 1e6:.2f}', f'{one["macs"] / 1e9:.1f}']
            whole.append('x'.join(map(str, one['size'])))
        rows.append([name, *whole, f'{backbone} {arch}', *sizes, *timed, expected_of(path)])
    return table(header, rows)


def backbone_of(path: Path) -> tuple[str, str]:
    """Type and variant of a config's backbone, its own or that of the files that it inherits."""
    texts = [text for text, _ in _with_bases(path)]
    kinds = [m[1] for text in texts if (m := re.search(r"type='(FastViT|MobileViT)'", text))]
    archs = [m[1] for text in texts if (m := re.search(r"\barch='([\w.]+)'", text))]
    return kinds[0], archs[0]


def _with_bases(path: Path) -> list[tuple[str, Path]]:
    """The text of a config, then those of its bases that are files of ours."""
    text = path.read_text(encoding='utf-8')
    found = [(text, path)]
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                if '::' not in base:
                    found += _with_bases(path.parent / base)
    return found


def expected_of(path: Path) -> str:
    """The numbers that a config's docstring announces, '' where none are published."""
    words = ' '.join((ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').split())
    match = re.search(r'Expected on [^:]+: (.+?)\.?$', words)
    text = match[1] if match else ''
    return '' if text.startswith('none published') else text


def _peers() -> str:
    header = ['backbone', 'params M', 'box AP', 'mask AP', 'mIoU', 'source']
    text = (
        'Mask R-CNN 1x on COCO val2017 and Semantic FPN on ADE20K val, as the sources print them '
        '(parameters too); dist: from distilled ImageNet weights, 450: from 450 epochs.'
    )
    return f'{text}\n\n{table(header, PEERS)}'
