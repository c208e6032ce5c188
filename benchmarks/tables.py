"""Benchmark results as Markdown tables."""

from collections.abc import Mapping
from typing import Any

from fastvit_dense.evaluation.report.tables import table


def machine_line(results: Mapping[str, Any]) -> str:
    """One sentence on where the numbers come from."""
    machine = results['machine']
    device = machine.get('gpu') or machine['cpu']
    peaks = [
        f'{value / 1e9:.0f} {"GB/s" if name.startswith("bytes") else "GMAC/s " + name[-4:]}'
        for name, value in results.get('peaks', {}).items()
    ]
    measured = f'; measured peaks {", ".join(peaks)}' if peaks else ''
    threads = f'threads: {machine["threads"]}, PyTorch {machine["torch"]}'
    return f'{device}, cores: {machine["cores"]}, {threads}{measured}.'


def backbone_table(results: Mapping[str, Any]) -> str:
    """All rows, with what the columns mean."""
    header = ['model', 'form', 'run by', 'size', 'batch', 'params M', 'GMACs', 'ms', 'spread']
    header += ['images/s', 'x faster', 'of matrix peak', 'of bandwidth', 'error']
    rows, failed = [], []
    for row in results['rows']:
        if row['reason']:
            failed.append(f'- {row["label"]} at {row["size"]}: {row["reason"]}')
        way = '/'.join(row['label'].split('/')[2:])
        rows.append(
            [
                *(row['model'], row['form'], way, row['size'], row['batch_size']),
                number(row['parameters'], '.2f', 1e-6),
                number(row['macs'], '.2f', 1e-9),
                'failed' if row['reason'] else number(row['seconds'], '.1f', 1e3),
                number(row['spread'], '.0%'),
                number(row['images_per_second'], '.1f'),
                number(row['times_faster'], '.2f'),
                number(row['matrix_share'], '.0%'),
                number(row['bandwidth_share'], '.0%'),
                number(row['error'], '.1g'),
            ]
        )
    notes = [
        machine_line(results),
        'Networks alone, from normalised images in memory to feature maps; onnxruntime and '
        'openvino run files that the export writes.',
        f'Random weights; medians of {rounds_of(results)} rounds in turns; spread: quartiles over '
        f'median; x faster: than {results["reference"]}, median of the ratios within a round; '
        'bandwidth: of the traffic without fusion; error: largest deviation from eager fp32 over '
        'the root mean square.',
    ]
    parts = [table(header, rows, text_columns=3), *notes]
    if failed:
        parts.append('Not measured:\n\n' + '\n'.join(failed))
    return '\n\n'.join(parts)


def rounds_of(results: Mapping[str, Any]) -> str:
    """Number of rounds that were timed, or the smallest and the largest."""
    counts = sorted({len(row['rounds']) for row in results['rows'] if row['rounds']})
    return '-'.join(str(count) for count in dict.fromkeys((counts or [0])[:: len(counts) - 1 or 1]))


def number(value: float | None, form: str, scale: float = 1.0) -> str:
    """A number of a table, empty where there is none."""
    return '' if value is None else format(value * scale, form)


def repmixer_table(results: Mapping[str, Any]) -> str:
    """Pooling, RepMixer and what is saved, by size and way of running."""
    header = ['run by', 'size', 'pooling ms', 'RepMixer ms', 'saved', 'quartiles', 'phone (paper)']
    rows, failed = [], []
    for item in results['reductions']:
        quartiles = item['quartiles'] and ' to '.join(f'{x:.1%}' for x in item['quartiles'])
        if item['reason']:
            failed.append(f'- {way_of(item)} at {item["size"]}: {item["reason"]}')
        rows.append(
            [
                way_of(item),
                item['size'],
                number(item['pooling_seconds'], '.1f', 1e3),
                number(item['repmixer_seconds'], '.1f', 1e3),
                'failed' if item['reason'] else number(item['saved'], '.1%'),
                quartiles or '',
                number(item['paper'], '.1%'),
            ]
        )
    parts = [
        table(header, rows),
        machine_line(results),
        f'MetaFormer-S12, random weights; medians of {rounds_of(results)} rounds in turns; saved: '
        "the share of pooling's time, by round. The paper's are read off its Figure 3 (iPhone 12 "
        'Pro, Core ML); its text says 25.1 % at 384 and 43.9 % at 1024.',
    ]
    if failed:
        parts.append('Not measured:\n\n' + '\n'.join(failed))
    return '\n\n'.join(parts)


def way_of(item: Mapping[str, Any]) -> str:
    """Backend, precision and layout (with a batch size above 1) of a row."""
    parts = [item['backend'], item['precision']]
    if item['layout'] != 'contiguous':
        parts.append(item['layout'])
    if item['batch_size'] > 1:
        parts.append(f'batch {item["batch_size"]}')
    return '/'.join(parts)


def model_table(results: Mapping[str, Any]) -> str:
    """Milliseconds of every part of every model."""
    parts = results['parts']
    header = ['model', 'form', 'picture', 'network input', 'ms', 'spread', 'x faster']
    header += [f'{part} ms' for part in parts] + ['after the network', 'detections']
    rows, notes = [], []
    for row in results['rows']:
        if row['reason']:
            notes.append(f'- {row["model"]} {row["form"]}: not measured: {row["reason"]}')
        times = row['part_seconds'] or {}
        rows.append(
            [
                *(row['model'], row['form'], row['picture'] or '', row['input'] or ''),
                'failed' if row['reason'] else number(row['seconds'], '.1f', 1e3),
                number(row['spread'], '.0%'),
                number(row['times_faster'], '.2f'),
                *(number(times.get(part), '.1f', 1e3) for part in parts),
                number(row['post_share'], '.1%'),
                '' if row['detections'] is None else row['detections'],
            ]
        )
        notes += [f'- {row["model"]}: {note}' for note in row['notes']]
    texts = [
        table(header, rows, text_columns=2),
        machine_line(results),
        f'From an image file to a result object; medians of {rounds_of(results)} rounds in turns, '
        "every part's own median; x faster: than the model's first row, by round.",
    ]
    if notes:
        texts.append('\n'.join(dict.fromkeys(notes)))
    return '\n\n'.join(texts)
