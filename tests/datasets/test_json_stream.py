import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvit_dense.datasets import json_stream
from fastvit_dense.datasets.json_stream import JsonReader, as_numbers
from fastvit_dense.errors import DataError
from tests.facts import raises_naming

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
    ('text', 'facts'),
    [
        ('', ['start', '"["', 'found', 'end of the file']),
        ('{"a": 1}', ['start', '"["', 'found', '"{"']),
        ('[[1, 2], [3, ', ['entry 1', 'truncated']),
        ('[[1, 2], ', ['entry 1', 'truncated']),
        ('[[1, 2]', ['entry 0', '","', 'truncated']),
        ('[[1, 2] [3]]', ['entry 0', '","', 'found', '"["']),
        ('[[1, 2], oops' + ' ' * 200 + ']', ['entry 1', 'oops']),
        ('[1, 2,]', ['entry 2']),
        ('[' * 100_000, ['entry 0', 'RecursionError']),
    ],
)
def test_damaged_text(text, facts):
    with raises_naming(DataError, 'some.json', *facts):
        list(JsonReader(io.StringIO(text), 'some.json').values())


def test_nothing_but_white_space():
    """Of a file or an archive that unpacks to gigabytes of spaces only the first are read."""

    class Spaces(io.StringIO):
        read_so_far = 0

        def read(self, size):
            self.read_so_far += size
            return ' ' * size

    stream = Spaces()
    with raises_naming(DataError, 'some.json', 'white space'):
        JsonReader(stream, 'some.json').expect('[', 'start')
    assert stream.read_so_far < 1 << 22


def test_something_after_the_list():
    reader = JsonReader(io.StringIO('[1] [2]'), 'some.json')
    assert list(reader.values()) == [1]
    with raises_naming(DataError, 'some.json', 'tail', 'end of the file', 'found', '"["'):
        reader.expect('', 'tail')


def test_an_entry_without_end(monkeypatch):
    monkeypatch.setattr(json_stream, 'MAX_ENTRY', 1000)
    monkeypatch.setattr(json_stream, 'CHUNK', 100)
    with raises_naming(DataError, 'some.json', 'entry 1', 1000, 'found', 'no end'):
        list(JsonReader(io.StringIO('[[1], [' + '1, ' * 5000), 'some.json').values())


def test_binary_file(tmp_path):
    path = tmp_path / 'a.json'
    path.write_bytes(b'\xff\xfe\x00[1]')
    with path.open(encoding='utf-8') as stream, raises_naming(DataError, path, 'JSON'):
        list(JsonReader(stream, path).values())


@pytest.mark.parametrize(
    ('value', 'shape', 'found'),
    [
        ([[1, 2], [3]], (2, 2), 'uneven lists'),
        ([[1, 2, 3]], (2, 3), '1 x 3'),
        ([], (2, 3), '0'),
        ([[]], (None, 3), '1 x 0'),
        (5, (2,), '5'),
        ({'a': 1}, (2,), "{'a': 1}"),
        (['1', '2'], (2,), "'1'"),
        ([None, 1.0], (2,), 'None'),
        ([True, False], (2,), True),
        ([10**400, 1], (2,), '1' + '0' * 39),
        ([1.0, float('nan')], (2,), 'nan at index [1]'),
        ([[0, 0], [float('-inf'), 0]], (2, 2), '-inf at index [1, 0]'),
        ([1, 2], (), '2'),
    ],
)
def test_entries_that_do_not_fit(value, shape, found):
    with raises_naming(DataError, 'file: field of entry 3', 'expected', 'found', found):
        as_numbers(value, shape, 'file: field of entry 3')


def test_entries_that_fit():
    array = as_numbers([[1, 2.5], [3, 4]], (None, 2), 'here')
    assert array.dtype == np.float64
    assert array.tolist() == [[1, 2.5], [3, 4]]
    assert as_numbers(7, (), 'here') == 7
