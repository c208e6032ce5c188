"""Put this checkout's fastvit_dense before any other; the command lines import from here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fastvit_dense.cli import run_command
from fastvit_dense.cli.common import make_parser, run

__all__ = ['make_parser', 'run', 'run_command']
