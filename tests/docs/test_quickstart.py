"""The notebook: its code and commands parse, and it runs in an empty folder."""

import ast
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.test_readme import parse  # noqa: F401  (a fixture)

PATH = Path(__file__).resolve().parents[2] / 'docs/quickstart.ipynb'
CELLS = [
    ''.join(cell['source'])
    for cell in json.loads(PATH.read_text())['cells']
    if cell['cell_type'] == 'code'
]


def test_code_and_commands_parse(parse):  # noqa: F811
    commands = [cell for cell in CELLS if cell.startswith('!')]
    assert len(commands) >= 5
    for cell in commands:
        words = shlex.split(cell[1:].replace('\\\n', ' '))
        assert words[0] == 'fastvit-dense'
        assert parse(words)
    code = [cell for cell in CELLS if not cell.startswith('!')]
    assert any('load_model' in cell for cell in code)
    for cell in code:
        ast.parse(cell)


def test_it_has_no_outputs():
    for cell in json.loads(PATH.read_text())['cells']:
        assert not cell.get('outputs')
        assert cell.get('execution_count') is None


@pytest.mark.slow
@pytest.mark.integration
def test_it_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip('nbformat')
    client = pytest.importorskip('nbclient').NotebookClient
    monkeypatch.setenv('PATH', f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
    notebook = nbformat.read(PATH, as_version=4)
    folder = {'metadata': {'path': str(tmp_path)}}
    client(notebook, timeout=900, kernel_name='python3', resources=folder).execute()
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == 'code']
    for outputs in shown:  # a command that fails raises nothing in a notebook
        assert 'Error' not in ''.join(output.get('text', '') for output in outputs)
    assert 'image/png' in shown[-4][0]['data']
    assert float(shown[-1][0]['data']['text/plain']) > 0.99
    assert (tmp_path / 'work_dirs/quickstart/report.html').is_file()
    assert (
        len(
            (tmp_path / 'work_dirs/quickstart/predictions')
            .glob('*.jsonl')
            .__next__()
            .read_text()
            .splitlines()
        )
        > 1
    )
