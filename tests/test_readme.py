"""README and the other pages: code runs as it stands, commands parse, what they name is there."""

import argparse
import ast
import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

from docs.generate.code import read_modules

from . import tiny

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding='utf-8')
    for pattern in ('*.md', 'docs/*.md', 'docs/tasks/*.md', 'data/README.md', '.github/*.md')
    for path in sorted(ROOT.glob(pattern))
    if path.name != 'api.md'  # written from docstrings
}
FENCES = re.compile(r'^```(\w*)\n(.*?)^```', re.DOTALL | re.MULTILINE)
BLOCKS = [code for language, code in FENCES.findall(PAGES['README.md']) if language == 'python']
CONFIGS = [*ROOT.glob('configs/*.py'), *ROOT.glob('fastvit_dense/configs/*.py')]
COMMAND = re.compile(r'(?:.*\s)?(?:tools/\w+\.py|(?:fastvit-dense|-m fastvit_dense) [\w-]+)(?!\S)')


# --- code --------------------------------------------------------------------------------------


def run_block(code, folder):
    """Run code in a folder, by a process of its own that reaches no network; what it printed."""
    offline = dict.fromkeys(('http_proxy', 'https_proxy'), 'http://127.0.0.1:9')
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=folder,
        env={**os.environ, **offline, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(words):
    """The only block that holds these words."""
    (found,) = [code for code in BLOCKS if words in code]
    return found


def test_first_block_runs_as_it_stands(tmp_path):
    """Nothing is there to be read, and the shapes are those that the table announces for T8."""
    out = run_block(BLOCKS[0], tmp_path)
    shapes = [tuple(map(int, re.findall(r'\d+', line))) for line in out.splitlines()]
    assert shapes == [(1, 48 << i, 128 >> i, 128 >> i) for i in range(4)]


@pytest.mark.integration
def test_model_block_runs(sample_data, tmp_path):
    """As it stands, in a folder with the two files that it names."""
    code = block('load_model')
    (name,) = re.findall(r"load_model\('(\w+)'", code)
    (config,) = [path for path in CONFIGS if path.stem == name]
    tiny.save_random(config, tmp_path / 'checkpoint.pth')
    picture = next((sample_data / 'coco/val2017').glob('*.jpg'))
    (tmp_path / 'photo.jpg').write_bytes(picture.read_bytes())
    run_block(code, tmp_path)
    assert (tmp_path / 'photo.png').is_file()


def test_pretrained_block_runs_without_its_download(tmp_path):
    """With a file of our own in the place of the published one."""
    import torch

    from fastvit_dense import FastViT

    code = block('load_pretrained')
    published = "'apple/fastvit_t8'"
    assert published in code
    torch.save(FastViT('t8').state_dict(), tmp_path / 'own.pth')
    run_block(code.replace(published, "'own.pth'"), tmp_path)


def test_no_other_block():
    assert len(BLOCKS) == 3


# --- commands ----------------------------------------------------------------------------------


class Parsed(BaseException):
    """The arguments of a command line were understood; nothing was done."""


@pytest.fixture
def parse(monkeypatch):
    """`parse(words)` gives the arguments of a command as the program that it names reads them."""
    read = argparse.ArgumentParser.parse_args

    def stop(self, args=None, namespace=None):
        raise Parsed(read(self, args, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))

    def parse(words):
        start = next(i for i, word in enumerate(words) if re.match('tools/|fastvit', word))
        monkeypatch.setattr(sys, 'argv', words[start:])
        is_tool = words[start].startswith('tools/')
        run = partial(runpy.run_path, run_name='__main__') if is_tool else entry_point
        with pytest.raises(Parsed) as parsed:
            run(str(ROOT / words[start]))
        return parsed.value.args[0]

    return parse


def entry_point(program):
    """Do what the console command does, whatever its path."""
    settings = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    module, _, name = settings['project']['scripts']['fastvit-dense'].partition(':')
    getattr(importlib.import_module(module), name)()


def code_lines(text):
    """The lines of a page's shell blocks, and the code within its sentences."""
    blocks = [code for language, code in FENCES.findall(text) if language in ('', 'bash')]
    spans = re.findall(r'`([^`]+)`', FENCES.sub('', text))
    lines = [line for code in blocks for line in code.replace('\\\n', ' ').splitlines()]
    return lines + [' '.join(span.split()) for span in spans]


def commands(text):
    """The command lines of a page that have arguments, as words."""
    return [words for line in code_lines(text) if (words := words_of(line))]


def words_of(line):
    """The words of a command line of ours that has arguments; none of any other line."""
    if not (match := COMMAND.match(line)):
        return []
    arguments = shlex.split(line[match.end() :], comments=True)
    return shlex.split(match[0]) + arguments if arguments else []


@pytest.mark.parametrize('page', [page for page, text in PAGES.items() if commands(text)])
def test_commands_parse(page, parse):
    for words in commands(PAGES[page]):
        arguments = parse(words)
        config = getattr(arguments, 'config', None)
        if config and not re.search(r'^[A-Z]+$|\$', config):  # those stand for any
            explained = f'as `{config}`' in PAGES[page] or config.startswith('work_dirs/')
            ours = Path(config).stem in {path.stem for path in CONFIGS}
            assert explained or ours or (ROOT / config).is_file()


@pytest.mark.parametrize('page', PAGES)
def test_named_commands_exist(page):
    """`python tools/train.py` or `fastvit-dense train` in a sentence, without arguments."""
    from fastvit_dense.cli import COMMANDS

    for tool in re.findall(r'tools/\w+\.py', PAGES[page]):
        assert (ROOT / tool).is_file()
    assert set(re.findall(r'`fastvit-dense ([\w-]+)`', PAGES[page])) <= set(COMMANDS)


@pytest.mark.parametrize('page', PAGES)
def test_make_targets_exist(page):
    targets = re.search(r'^\.PHONY: (.*)', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1].split()
    lines = [line.partition('#')[0].split() for line in code_lines(PAGES[page])]
    named = [word for line in lines if line[:1] == ['make'] for word in line[1:]]
    assert set(named) <= set(targets)


# --- what is named -----------------------------------------------------------------------------


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_to_files(page):
    links = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', PAGES[page])
    for link in (one or other for one, other in links):
        if not re.match(r'https?:|#', link):
            assert ((ROOT / page).parent / link.partition('#')[0]).exists(), link


@pytest.mark.parametrize('page', PAGES)
def test_names_of_the_package_exist(page):
    """But for the first column of a table that says where a name was before."""
    text = re.sub(r'^\| `[^|]*(?=\|)', '', PAGES[page], flags=re.MULTILINE)
    for name in set(re.findall(r'`(fastvit_dense(?:\.\w+)+)`', text)):
        assert resolves(name), name


def resolves(name):
    """Whether a dotted name is a module of the package, or stands in one."""
    modules = read_modules()
    place = name.removeprefix('fastvit_dense.')
    module, _, last = place.rpartition('.')
    return place in modules or (module in modules and last in names_in(modules[module].tree))


def names_in(tree):
    """What a module defines, assigns or imports at its top."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name
            case ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in node.names)
            case ast.Assign():
                yield from (ast.unparse(target) for target in node.targets)
