"""What a message tells the user to type works: commands, options, packages, classes."""

import argparse
import ast
import functools
import re
import shlex
from importlib import import_module
from pathlib import Path

import mmengine.registry  # noqa: F401  (before modules of the package that need it)
import pytest
from packaging.requirements import Requirement
from pip._internal.commands import create_command

from fastvit_dense.cli import COMMANDS
from fastvit_dense.cli.common import make_parser
from fastvit_dense.compat import environment
from fastvit_dense.config.types import unexpected_argument
from fastvit_dense.datasets.check.coco import set_classes
from fastvit_dense.engine.distributed import LAUNCHERS
from fastvit_dense.errors import ConfigError
from fastvit_dense.hand.regressor import build_mano
from fastvit_dense.tasks.config import load_config
from tests.test_readme import parse  # noqa: F401

ROOT = Path(__file__).parents[1]
MASK_RCNN, SEMANTIC_FPN, HANDS = (
    'maskrcnn_fastvit_t8',
    'semfpn_fastvit_t8',
    'handmesh_fastvit_t8',
)


@functools.cache
def texts():
    """The texts of the package with their places, `{name}` where a value goes.

    Without docstrings: what those show is held by the tests of the docs.
    """
    return [found for path in (ROOT / 'fastvit_dense').rglob('*.py') for found in texts_of(path)]


def texts_of(path):
    tree = ast.parse(path.read_text())
    place = path.relative_to(ROOT / 'fastvit_dense').as_posix()
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node) if part is not node
    }  # fmt: skip
    inside |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            yield (
                place,
                ''.join(
                    part.value
                    if isinstance(part, ast.Constant)
                    else f'{{{ast.unparse(part.value)}}}'
                    for part in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield place, node.value


def test_the_texts_are_found():
    """With the message of a missing MANO file among them, which is put together of several."""
    assert len(texts()) > 2000
    assert any('MANO_RIGHT.pkl at data/mano/' in text for _, text in texts())


# --- options ------------------------------------------------------------------------------------

# as the message has it -> a config, and what its `{...}` may stand for
OPTIONS = {
    '{path}._delete_=True': (MASK_RCNN, {'path': 'optim_wrapper.optimizer'}),
    "model.test_cfg.mode='whole'": (SEMANTIC_FPN, {}),
    'load_from={filename}': (MASK_RCNN, {'filename': 'work_dirs/own/epoch_12.pth'}),
    'model.mano.standin=True': (HANDS, {}),
    'train_dataloader.num_workers=1': (MASK_RCNN, {}),
}
# what the user typed, repeated
ECHO = {'{key}={value}:'}


def suggested_options():
    """The `KEY=VALUE` that follow `--cfg-options` in a message."""
    for _, text in texts():
        yield from re.findall(r'--cfg-options ([\w.{}"]+=[^\s,;)]+)', text)


def test_every_suggested_option_is_tried():
    assert set(suggested_options()) - ECHO == set(OPTIONS)


@pytest.mark.parametrize('option', OPTIONS)
def test_suggested_options_are_taken(option):
    config, values = OPTIONS[option]
    for name, value in values.items():
        option = option.replace(f'{{{name}}}', value)
    (word,) = shlex.split(option)
    cfg = load_config(config, cfg_options=[word])
    key, _, value = word.partition('=')
    if key.endswith('_delete_'):
        assert cfg.optim_wrapper.optimizer == dict(type='AdamW')
    else:
        found = cfg
        for part in key.split('.'):
            found = found[part]
        assert str(found) == value.strip("'")
    if key.startswith('model.mano'):
        assert build_mano(cfg.model.mano).is_standin


def after(message, words):
    """The first word of a shell's line that follows some words in a message."""
    return shlex.split(message.partition(words)[2])[0]


def test_options_in_messages_that_are_raised():
    """The text of the message itself, not of its source."""

    class Optimizer:
        def __init__(self, lr):
            pass

    told = unexpected_argument(Optimizer, 'foreign', 'optim_wrapper.optimizer')
    load_config(MASK_RCNN, cfg_options=[after(told, '--cfg-options ')])
    with pytest.raises(ConfigError) as error:
        load_config(MASK_RCNN, cfg_options=['optim_wrapper.optimizer=SGD'])
    option = str(error.value).partition('; ')[2].removesuffix(' sets its type')
    assert load_config(MASK_RCNN, cfg_options=[option]).optim_wrapper.optimizer.type == 'SGD'
    with pytest.raises(ConfigError) as error:
        load_config(SEMANTIC_FPN, cfg_options=["model.test_cfg={'mode':'slide'}"])
    option = after(str(error.value), 'such as ').rstrip(',')
    option = option.replace('KEY', 'mode').replace('VALUE', 'slide')
    assert load_config(SEMANTIC_FPN, cfg_options=[option]).model.test_cfg.mode == 'slide'


@pytest.mark.parametrize(
    'names',
    [
        ('cat', 'dog'),
        ('screw',),
        ('traffic light', 'cups, mugs', '2', 'true', 'cat (small)'),
        ("driver's seat", '$5', '5" pipe'),
        ('back\\slash', 'cat'),
        tuple(f'class {k}' for k in range(30)),
    ],
)
def test_classes_that_a_message_tells_to_type(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = set_classes(list(names))
    if 'text file' in told:
        Path('classes.txt').write_text('\n'.join(names))
    cfg = load_config(MASK_RCNN, cfg_options=[after(told, '--cfg-options ').rstrip(',')])
    assert cfg.train_dataloader.dataset.metainfo.classes == names
    assert cfg.model.roi_head.bbox_head.num_classes == len(names)


# --- commands -----------------------------------------------------------------------------------


def test_named_commands_exist():
    for place, text in texts():
        for tool in re.findall(r'tools/\w+\.py', text):
            assert (ROOT / tool).is_file(), (place, text)
        for command in re.findall(r'\bfastvit-dense ([a-z][\w-]*)', text):
            assert command in COMMANDS, (place, text)


def suggested():
    """The command lines with arguments that messages tell to type, with what starts them."""
    words = re.compile(r'fastvit-dense [a-z-]+(?: [A-Z]{3,}| --[a-z-]+(?: \w+)?)+')
    lines = {line for _, text in texts() for line in words.findall(text)}
    assert 'fastvit-dense check-data CONFIG' in lines
    return [line for line, _ in LAUNCHERS.values()] + sorted(lines)


def test_suggested_commands_parse(parse):  # noqa: F811
    """By the program that they name; the first word in capitals is an argument of it."""
    for line in suggested():
        first = re.search(r' ([A-Z]{3,})(?= |$)', line)[1]
        assert first in vars(parse(shlex.split(line))).values(), line


class Stop(Exception):
    pass


def flags(monkeypatch):
    """Every option of every command."""

    def stop(self, *_):
        raise Stop

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    found = set()
    for command in COMMANDS:
        parser = make_parser('')
        module = import_module(f'fastvit_dense.cli.{command.replace("-", "_")}')
        with pytest.raises(Stop):
            module.main(parser, [])
        found |= {name for action in parser._actions for name in action.option_strings}
    return found


def test_suggested_flags_exist(monkeypatch):
    known = flags(monkeypatch)
    assert '--cfg-options' in known
    for place, text in texts():
        foreign = re.search(r'pip (un)?install|torchrun|hf download', text)
        if foreign or place.startswith('evaluation/report/'):  # pages, with variables of CSS
            continue
        for flag in re.findall(r'(?<![\w-])--[a-z][\w-]+', text):
            assert flag in known, (place, flag, text)


# --- packages -----------------------------------------------------------------------------------


def pip_lines():
    """What follows `pip` in the messages, with some package where a value goes."""
    for _, text in texts():
        text = re.sub(r'\{[^}]*\}', 'package', text)
        for line in re.findall(r'pip ((?:un)?install [^;&(\n]+)', text):
            yield line.partition('   ')[0]


def problems():
    """The commands of an environment with everything wrong, as they are printed."""
    both = {'onedl-mmengine': '0.10.9', 'mmengine': '0.10.7', 'mmcv': '1.0', 'mmdet': '3.3.0'}
    for installed in ({}, both, {'torch': '1.0', 'torchvision': '0.26.0', 'mmcv': '2.1.0'}):
        for problem in environment.find_problems(installed):
            for part in re.findall(r'pip ((?:un)?install [^;&(]+)', problem.command):
                yield part.partition('   ')[0]


def test_pip_takes_what_is_suggested():
    """By pip's own reader of its command line; nothing is installed."""
    lines = sorted({*pip_lines(), *problems()})
    assert len(lines) > 10
    for line in lines:
        name, *words = shlex.split(re.sub(r'[,:.]? (?:or all|in its place).*|[,:]$', '', line))
        _, packages = create_command(name).parse_args(words)
        assert packages, line
        for package in packages:
            Requirement(package)
