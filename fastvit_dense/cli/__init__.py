"""The command lines: `fastvit-dense COMMAND`, `python -m fastvit_dense COMMAND`, tools/*.py.

A command is a module of this package: its docstring is the help, its `main` adds the arguments to
a parser, reads them and does the work. Nothing heavy is imported before the arguments are read.
"""

import argparse
import sys
from importlib import import_module
from types import ModuleType

from .common import Arguments, make_parser, run

COMMANDS = (
    'train',
    'test',
    'evaluate',
    'predict',
    'app',
    'export',
    'convert-weights',
    'convert-data',
    'check-data',
    'browse',
    'sample-data',
    'models',
    'publish',
)


def main(arguments: Arguments = None, program: str = 'fastvit-dense') -> None:
    """Run `fastvit-dense COMMAND ...` and exit with its status.

    Args:
        arguments: Words after the program's name; by default those of this process.
        program: How the program was called, for its help.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        run(lambda _: _report())
    elif words[0] in COMMANDS:
        run_command(words[0], f'{program} {words[0]}', words[1:])
    else:
        _parser_of_all(program).parse_args(words[:1])


def run_command(name: str, called: str, arguments: Arguments = None) -> None:
    """Run one command and exit with its status.

    Args:
        name: One of `COMMANDS`.
        called: How it was called, for its help: 'python tools/train.py'.
        arguments: Words after that; by default those of this process.
    """
    command = _module(name)
    parser = make_parser((command.__doc__ or '').replace(f'fastvit-dense {name}', called), called)
    run(lambda words: command.main(parser, words), arguments)


def _module(name: str) -> ModuleType:
    return import_module(f'{__name__}.{name.replace("-", "_")}')


def _report() -> int:
    """Print what is installed, what does not fit, and the command that mends it."""
    from ..compat.environment import main as report
    from ..integration import load_types

    return report(load_types)


def _parser_of_all(program: str) -> argparse.ArgumentParser:
    """Return the parser that tells of the commands, or that there is no such one."""
    lines = [f'  {name:<17}{(_module(name).__doc__ or "").splitlines()[0]}' for name in COMMANDS]
    doc = 'FastViT for dense prediction.\n\ncommands:\n' + '\n'.join(lines)
    doc += '\n\nWithout one: what is installed, and what does not fit.'
    parser = make_parser(doc, program)
    parser.usage = '%(prog)s COMMAND ...\n       %(prog)s COMMAND --help'
    parser.add_argument('command', metavar='COMMAND', choices=COMMANDS, help=argparse.SUPPRESS)
    return parser
