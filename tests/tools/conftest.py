"""Command lines run in this process, through the same `run` that a terminal calls."""

import runpy
import sys
from dataclasses import dataclass

import pytest
from mmengine.logging import MMLogger


@dataclass
class Done:
    """How a command line ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error message: the command failed, with one message and no traceback."""
        assert self.status == 1
        assert 'Traceback' not in self.out + self.err
        return self.err


@pytest.fixture
def run_tool(root_dir, monkeypatch, capfd):
    """`run_tool('train', CONFIG, ...)` does what `python tools/train.py CONFIG ...` does."""
    tools = root_dir / 'tools'
    monkeypatch.chdir(root_dir)
    monkeypatch.syspath_prepend(str(tools))

    def run(name, *arguments):
        capfd.readouterr()
        MMLogger._instance_dict.clear()  # loggers of earlier runs write where pytest has closed
        path = str(tools / f'{name}.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(path, run_name='__main__')
        shown = capfd.readouterr()
        return Done(int(end.value.code or 0), shown.out, shown.err)

    return run
