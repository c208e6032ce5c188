"""Types that a registry knows before their modules are imported."""

import importlib
import sys

import pytest
from mmengine.registry import Registry

from fastvit_dense.compat.registries import known_names, late_types
from tests.facts import raises_naming


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """A registry that knows `Late`, whose module is not imported yet."""
    registry = Registry('thing', scope='parent')
    (tmp_path / 'late_thing.py').write_text(
        'def register(registry):\n    registry.register_module(name="Late", module=dict)\n'
        'import sys\nregister(sys.modules["late_registry"])\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.setitem(sys.modules, 'late_registry', registry)
    late_types(registry, {'Late': 'late_thing'})
    yield registry
    sys.modules.pop('late_thing', None)


def test_imported_when_it_is_asked_for(parent):
    assert parent.get('Other') is None
    assert 'late_thing' not in sys.modules
    assert parent.get('Late') is dict
    assert 'Late' in parent


def test_found_by_the_registries_below(parent):
    child = Registry('thing', scope='child', parent=parent)
    assert child.get('Late') is dict
    assert child.get('parent.Late') is dict


def test_names_are_known_before(parent):
    child = Registry('thing', scope='child', parent=parent)
    child.register_module(name='Own', module=list)
    assert known_names(child) == {'Late', 'Own'}
    assert 'late_thing' not in sys.modules


def test_telling_it_twice_changes_nothing(parent):
    before = parent.module_dict
    late_types(parent, {'Late': 'late_thing'})
    assert parent.module_dict is before


def test_another_type_of_that_name_is_refused(parent):
    with raises_naming(KeyError, 'Late', 'already registered'):
        parent.register_module(name='Late', module=list)


def test_another_type_forced_into_its_place_stays(parent):
    parent.register_module(name='Late', module=list, force=True)
    importlib.import_module('late_thing')
    assert parent.get('Late') is list
