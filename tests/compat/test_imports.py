"""Calls that wait until a module is imported."""

import importlib
import sys

import pytest

from fastvit_dense.compat.imports import after_import


@pytest.fixture
def make_module(tmp_path, monkeypatch):
    """`make_module(name, source)` puts a module where it can be imported, until the test ends."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    names = []

    def make(name, source=''):
        (tmp_path / f'{name}.py').write_text(source)
        importlib.invalidate_caches()
        names.append(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


def test_called_when_the_module_is_imported(make_module):
    make_module('late_one', 'value = 1')
    make_module('late_other')
    seen = []
    after_import('late_one', lambda module: seen.append(module.value))
    importlib.import_module('late_other')
    assert seen == []
    importlib.import_module('late_one')
    assert seen == [1]


def test_called_at_once_where_it_is_imported(make_module):
    make_module('late_one', 'value = 1')
    module = importlib.import_module('late_one')
    seen = []
    after_import('late_one', seen.append)
    assert seen == [module]


def test_asked_for_twice_called_once(make_module):
    make_module('late_one')
    seen = []
    for _ in range(2):
        after_import('late_one', seen.append)
    importlib.import_module('late_one')
    assert len(seen) == 1


def test_two_functions_of_one_module(make_module):
    make_module('late_one')
    first, second = [], []
    after_import('late_one', first.append)
    after_import('late_one', second.append)
    importlib.import_module('late_one')
    assert len(first) == len(second) == 1


def test_called_after_an_import_that_failed_at_first(make_module):
    make_module('late_one', 'raise ImportError')
    seen = []
    after_import('late_one', seen.append)
    with pytest.raises(ImportError):
        importlib.import_module('late_one')
    assert seen == []
    make_module('late_one', 'value = "another length"')
    importlib.import_module('late_one')
    assert len(seen) == 1


def test_called_again_when_the_module_is_executed_again(make_module):
    make_module('late_one')
    seen = []
    after_import('late_one', seen.append)
    importlib.reload(importlib.import_module('late_one'))
    assert len(seen) == 2


def test_a_module_that_is_not_there_stays_so(make_module):
    after_import('late_nothing', print)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('late_nothing')
