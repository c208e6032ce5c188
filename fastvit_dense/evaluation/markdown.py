"""The little Markdown that the reports need."""

import html
from collections.abc import Sequence


def cell(text: object) -> str:
    """Any text as one table cell: markup and line breaks in it stay text."""
    escaped = html.escape(' '.join(str(text).split()), quote=False)
    for mark in '\\|`*_[]':
        escaped = escaped.replace(mark, '\\' + mark)
    return escaped


def table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: int = 1) -> str:
    """A table whose first ``text_columns`` columns stand left and whose others stand right."""
    rules = ['---' if index < text_columns else '---:' for index in range(len(header))]
    lines = [header, rules, *([cell(value) for value in row] for row in rows)]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
