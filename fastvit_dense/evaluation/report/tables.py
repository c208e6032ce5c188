"""The little Markdown that the reports need."""

import html
import re
from collections.abc import Sequence

_LINK = re.compile(r'\](?=[(\[:])')  # what makes a link of brackets


def cell(text: object) -> str:
    """Any text as one table cell: markup and line breaks in it stay text."""
    escaped = html.escape(' '.join(str(text).split()), quote=False)
    for mark in '\\|`*':
        escaped = escaped.replace(mark, '\\' + mark)
    return _LINK.sub(r'\\]', escaped)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: int = 1) -> str:
    """A table whose first `text_columns` columns stand left and whose others stand right.

    The cells are padded, so that it can be read in a terminal too.
    """
    lines = [list(header), *([cell(value) for value in row] for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    rules = []
    for column, width in enumerate(widths):
        is_text = column < text_columns
        rules.append('-' * width if is_text else '-' * (width - 1) + ':')
        for line in lines:
            line[column] = line[column].ljust(width) if is_text else line[column].rjust(width)
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in [lines[0], rules, *lines[1:]])
