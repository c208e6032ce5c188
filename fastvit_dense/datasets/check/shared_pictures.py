"""Pictures that are in the training data and in the data that judges the training."""

import hashlib
import os
from collections import defaultdict

from .findings import DataReport

EXAMPLES = 3


def find_shared_pictures(report: DataReport, by_content: bool) -> None:
    """Warn of pictures that training and val or test share.

    Args:
        report: With the `pictures` of its datasets; takes the findings.
        by_content: Also find copies under another name, by their bytes.
    """
    training = [p for d in report.datasets if 'train' in d.loaders for p in d.pictures]
    for dataset in report.datasets:
        if 'train' in dataset.loaders or not dataset.pictures:
            continue
        shared = _shared(training, dataset.pictures, by_content)
        if shared:
            shown = ', '.join(f'{b} (training: {a})' if a != b else b for a, b in shared[:EXAMPLES])
            more = ', ...' if len(shared) > EXAMPLES else ''
            dataset.warning(
                'train_and_val',
                dataset.source,
                f'{len(shared)} of {len(dataset.pictures)} pictures are in the training data, too: '
                f'{shown}{more}; scores on them say nothing of new pictures',
            )


def _shared(training: list[str], other: list[str], by_content: bool) -> list[tuple[str, str]]:
    """Pairs of the same picture; copies of the same size are compared by their hash."""
    first = {os.path.realpath(path): path for path in training}
    pairs = [(first[real], path) for path in other if (real := os.path.realpath(path)) in first]
    if not by_content:
        return pairs
    found = {path for _, path in pairs}
    by_size = defaultdict(list)
    for path in training:
        by_size[os.path.getsize(path)].append(path)
    hashes: dict[int, dict[str, str]] = {}
    for path in other:
        size = os.path.getsize(path)
        if path in found or size not in by_size:
            continue
        if size not in hashes:
            hashes[size] = {_digest(p): p for p in by_size[size]}
        match = hashes[size].get(_digest(path))
        if match:
            pairs.append((match, path))
    return pairs


def _digest(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'blake2b').hexdigest()
