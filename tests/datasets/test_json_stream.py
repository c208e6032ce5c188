import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvit_dense.datasets import json_stream
from fastvit_dense.datasets.json_stream import JsonReader, as_numbers
from fastvit_dense.errors import DataError

numbers = st.one_of(
    st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False)
)
lists = st.lists(st.recursive(numbers, lambda inner: st.lists(inner, max_size=4), max_leaves=12))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Every number, bracket and comma falls on the edge of a chunk some time."""
    monkeypatch.setattr(json_stream, 'CHUNK', 3)


@given(lists, st.sampled_from([None, 1]))
def test_gives_what_json_gives(value, indent):
    text = json.dumps(value, indent=indent)
    reader = JsonReader(io.StringIO(f' \n{text}\t\n'), 'text')
    assert list(reader.values()) == value
    reader.expect('', 'end')


def test_walks_through_two_lists():
    reader = JsonReader(io.StringIO('[[1, 2.50], [[3]]]'), 'text')
    reader.expect('[', 'start')
    assert list(reader.values()) == [1, 2.5]
    reader.expect(',', 'between')
    assert list(reader.values()) == [[3]]
    reader.expect(']', 'end')
    reader.expect('', 'end')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', ['start of the list', 'found the end']),
        ('{"a": 1}', ['start of the list', 'expected "["', 'found "{"']),
        ('[[1, 2], [3, ', ['entry 1', 'truncated']),
        ('[[1, 2], ', ['entry 1', 'truncated']),
        ('[[1, 2]', ['after entry 0', 'expected ","', 'truncated']),
        ('[[1, 2] [3]]', ['after entry 0', 'expected ","', 'found "["']),
        ('[[1, 2], oops' + ' ' * 200 + ']', ['entry 1', 'oops']),
        ('[1, 2,]', ['entry 2']),
        ('[' * 100_000, ['entry 0', 'RecursionError']),
    ],
)
def test_damaged_text(text, words):
    with pytest.raises(DataError) as error:
        list(JsonReader(io.StringIO(text), 'some.json').values())
    for word in ['some.json', *words]:
        assert word in str(error.value)


def test_something_after_the_list():
    reader = JsonReader(io.StringIO('[1] [2]'), 'some.json')
    assert list(reader.values()) == [1]
    with pytest.raises(DataError, match=r'some\.json: tail: expected the end of the file, found'):
        reader.expect('', 'tail')


def test_an_entry_without_end(monkeypatch):
    monkeypatch.setattr(json_stream, 'MAX_ENTRY', 1000)
    monkeypatch.setattr(json_stream, 'CHUNK', 100)
    with pytest.raises(DataError, match='entry 1: expected at most 1000 characters, found no end'):
        list(JsonReader(io.StringIO('[[1], [' + '1, ' * 5000), 'some.json').values())


def test_binary_file(tmp_path):
    path = tmp_path / 'a.json'
    path.write_bytes(b'\xff\xfe\x00[1]')
    with path.open(encoding='utf-8') as stream, pytest.raises(DataError, match='not a JSON text'):
        list(JsonReader(stream, path).values())


@pytest.mark.parametrize(
    ('value', 'shape', 'found'),
    [
        ([[1, 2], [3]], (2, 2), 'uneven lists'),
        ([[1, 2, 3]], (2, 3), 'found 1 x 3'),
        ([], (2, 3), 'found 0'),
        ([[]], (None, 3), 'found 1 x 0'),
        (5, (2,), 'found 5'),
        ({'a': 1}, (2,), "found {'a': 1}"),
        (['1', '2'], (2,), "found np.str_('1')"),
        ([None, 1.0], (2,), 'found None'),
        ([True, False], (2,), 'True'),
        ([10**400, 1], (2,), 'found 1000'),
        ([1.0, float('nan')], (2,), 'found nan at index [1]'),
        ([[0, 0], [float('-inf'), 0]], (2, 2), 'found -inf at index [1, 0]'),
        ([1, 2], (), 'expected a number, found 2'),
    ],
)
def test_entries_that_do_not_fit(value, shape, found):
    with pytest.raises(DataError) as error:
        as_numbers(value, shape, 'file: field of entry 3')
    assert str(error.value).startswith('file: field of entry 3: expected ')
    assert found in str(error.value)


def test_entries_that_fit():
    array = as_numbers([[1, 2.5], [3, 4]], (None, 2), 'here')
    assert array.dtype == np.float64
    assert array.tolist() == [[1, 2.5], [3, 4]]
    assert as_numbers(7, (), 'here') == 7
