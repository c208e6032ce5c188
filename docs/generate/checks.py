"""The table of the fixed words in docs/data_checks.md."""

from pathlib import Path

from fastvit_dense.datasets.check.findings import KINDS

PATH = Path(__file__).parents[1] / 'data_checks.md'
START, END = '<!-- table of kinds, made by `make docs` -->\n', '<!-- end of the table -->\n'


def render() -> str:
    """The page, its table made anew."""
    before, rest = PATH.read_text(encoding='utf-8').split(START)
    rows = [f'| `{word}` | {meaning} |' for word, meaning in sorted(KINDS.items())]
    table = '\n'.join(['| word | what it says |', '|---|---|', *rows])
    return f'{before}{START}{table}\n{END}{rest.split(END)[1]}'
