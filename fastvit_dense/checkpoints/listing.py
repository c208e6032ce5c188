"""The published files as rows to read; nothing heavy is imported for it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .published import LICENCES, PUBLISHED
from .sizes import SIZES


def listing(pattern: str = '') -> list[dict[str, Any]]:
    """Return a row for every published file, in the order of the table.

    Args:
        pattern: Only rows whose names, the other tools' included, or use contain it, in upper or
            lower case.

    Returns:
        The fields of `PublishedFile`, and `parameters` and `macs` as of `SIZES`.
    """
    rows = []
    for file in PUBLISHED.values():
        texts = file.name, *file.other_names, file.use
        if any(pattern.lower() in text.lower() for text in texts):
            parameters, macs = SIZES[file.backbone, file.arch]
            rows.append({**asdict(file), 'parameters': parameters, 'macs': macs})
    return rows


def listing_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as aligned text, with the terms of the licences that occur."""
    lines = [('name', 'backbone', 'params M', 'GMACs', 'what it can do', 'licence')]
    for row in rows:
        use = row['use'] + ('; folded: to predict with' if row['folded'] else '')
        lines.append(
            (
                row['name'] + ('' if row['addresses'] else ' *'),
                f'{row["backbone"]} {row["arch"]}',
                f'{row["parameters"] / 1e6:.2f}',
                f'{row["macs"] / 1e9:.2f}',
                use,
                row['licence'] or '',
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        '  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    texts.append('')
    if any(not row['addresses'] for row in rows):
        texts.append('*  its address is not known here: download it yourself and give its path')
    for licence in dict.fromkeys(row['licence'] for row in rows if row['licence']):
        texts.append(f'{licence}: {LICENCES[licence]}')
    return '\n'.join(texts)
