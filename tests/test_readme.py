"""README and the other pages: code runs as it stands, commands parse, what they name is there."""

import argparse
import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from . import tiny

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding='utf-8')
    for pattern in ('*.md', 'docs/*.md', 'data/README.md', '.github/*.md')
    for path in sorted(ROOT.glob(pattern))
}
BLOCKS = re.findall(r'^```python\n(.*?)^```', PAGES['README.md'], re.DOTALL | re.MULTILINE)
CONFIGS = [*ROOT.glob('configs/*.py'), *ROOT.glob('fastvit_dense/configs/*.py')]
COMMAND = re.compile(r'(?:.*\s)?(?:tools/(\w+)\.py|fastvit-dense|python -m fastvit_dense)(?!\S)')


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
    """Nothing is there to be read, and the shapes are those that the table announces for SA24."""
    out = run_block(BLOCKS[0], tmp_path)
    shapes = [tuple(map(int, re.findall(r'\d+', line))) for line in out.splitlines()]
    assert shapes == [(1, 64 << i, 128 >> i, 128 >> i) for i in range(4)]


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
    published = "'apple/fastvit_sa24'"
    assert published in code
    torch.save(FastViT('sa24').state_dict(), tmp_path / 'own.pth')
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
        tool = next((i for i, word in enumerate(words) if word.startswith('tools/')), None)
        if tool is not None:
            main, arguments = runpy.run_path(str(ROOT / words[tool]))['main'], words[tool + 1 :]
            call = lambda: main(arguments)
        else:
            after = next(i for i, word in enumerate(words) if word.startswith('fastvit'))
            settings = tomllib.loads((ROOT / 'pyproject.toml').read_text())
            module, _, name = settings['project']['scripts']['fastvit-dense'].partition(':')
            call = getattr(importlib.import_module(module), name)
            monkeypatch.setattr(sys, 'argv', ['fastvit-dense', *words[after + 1 :]])
        with pytest.raises(Parsed) as parsed:
            call()
        return parsed.value.args[0]

    return parse


def commands(text):
    """The command lines of a page, whole lines of its blocks and code within sentences."""
    blocks = re.findall(r'^```(?:bash|shell)?\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    lines = [line for b in blocks for line in b.replace('\\\n', ' ').splitlines()]
    prose = re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)
    lines += [' '.join(span.split()) for span in re.findall(r'`([^`]+)`', prose)]
    return [shlex.split(line, comments=True) for line in lines if COMMAND.match(line)]


@pytest.mark.parametrize('page', [page for page, text in PAGES.items() if commands(text)])
def test_commands_parse(page, parse, capsys):
    for words in commands(PAGES[page]):
        if len(words) > 1 and not words[-1].startswith(('tools/', 'fastvit_dense')):
            if len(words) == 2:  # a subcommand that a sentence names
                words = [*words, '--help']
            try:
                arguments = parse(words)
            except SystemExit as end:
                assert end.code == 0, f'{shlex.join(words)}: {capsys.readouterr().err}'
            else:
                assert_config_is_there(getattr(arguments, 'config', None), page)


def assert_config_is_there(config, page):
    """One of ours, one whose making the page explains, or a word in capitals that stands for one."""
    if config and not config.isupper() and not config.startswith('work_dirs/'):
        assert (
            Path(config).stem in {path.stem for path in CONFIGS} or f'as `{config}`' in PAGES[page]
        )


@pytest.mark.parametrize('page', PAGES)
def test_make_targets_exist(page):
    targets = re.search(r'^\.PHONY: (.*)', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1].split()
    named = re.findall(r'(?:^|`)make ((?:[a-z][\w-]* ?)+)', PAGES[page], re.MULTILINE)
    assert {word for words in named for word in words.split()} <= set(targets)


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
    """Whether a dotted name is a module, or something in one."""
    module, *rest = name, *[]
    while True:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            module, _, last = module.rpartition('.')
            rest = [last, *rest]
            continue
        for attribute in rest:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
