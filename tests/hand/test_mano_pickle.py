"""Pickles made to hang or to claim memory, a few bytes each: one error, at once, for nothing."""

import contextlib
import os
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from fastvit_dense.errors import ManoFileError
from fastvit_dense.hand import mano_io, read_mano
from fastvit_dense.hand.mano_pickle import PickleError, read_pickle, resolve
from tests.facts import raises_naming

U8, U4 = struct.Struct('<Q').pack, struct.Struct('<I').pack


def text(value):
    return b'X' + U4(len(value)) + value.encode()


def field(code, name='v_template'):
    """A dict with one entry, whose value the code builds."""
    return b'\x80\x02}' + text(name) + code + b's.'


def call(name, *arguments):
    module, name = name.rsplit('.', 1)
    return b'c%b\n%b\n(%bt' % (module.encode(), name.encode(), b''.join(arguments))


DOUBLED_TUPLE = b')' + b'q\x00h\x00\x86' * 200
DOUBLED_LIST = b']' + b'q\x000](h\x00h\x00e' * 60
RAW_ARRAY = pickle.dumps(np.zeros(9, np.uint8), 2)[2:-1]
DOUBLED_SELECT = RAW_ARRAY + b''.join(
    b'q\x000cchumpy.reordering\nSelect\n)\x81}(' + text('a') + b'h\x00' + text('idxs') + b'h\x00'
    + text('preferred_shape') + b'K\x09\x85ub' for _ in range(60)
)  # fmt: skip
LARGE = b'J\xff\xff\xff\x7f'
COLLIDING = b''.join(
    b'\x8a\x0a' + (k * (2**61 - 1)).to_bytes(10, 'little') + b'N' for k in range(1, 30_000)
)

BOMBS = {
    'memo index': b'\x80\x02}r\xff\xff\xff\xff.',
    'memo index as text': b'}p4294967295\n.',
    'memo index of 4000 digits': b'}p' + b'9' * 4000 + b'\n.',
    'memo index not there': b'\x80\x02j\xff\xff\xff\xff.',
    'bytes of declared length': b'\x80\x04\x8e' + U8(2**40) + b'x.',
    'bytes of the greatest length': b'\x80\x04\x8e' + U8(2**64 - 1) + b'x.',
    'text of declared length': b'\x80\x04\x8d' + U8(2**40) + b'x.',
    'bytearray of declared length': b'\x80\x05\x96' + U8(2**40) + b'x.',
    'number of declared length': b'\x80\x02\x8b\xff\xff\xff\x7fx.',
    'number of negative length': b'\x80\x02\x8b\xff\xff\xff\xffx.',
    'Python 2 text of declared length': b'\x80\x02T\xff\xff\xff\x7fx.',
    'frame': b'\x80\x04\x95' + U8(2**62) + b'}.',
    'digits': b'L' + b'9' * 10**6 + b'L\n.',
    'nested key': b'\x80\x02})' + b'\x85' * 90_000 + b'Ns.',
    'doubled key': b'\x80\x02}' + DOUBLED_TUPLE + b'Ns.',
    'doubled member of a set': field(b'\x8f(' + DOUBLED_TUPLE + b'\x90'),
    'doubled member of a frozen set': field(b'(' + DOUBLED_TUPLE + b'\x91'),
    'colliding keys': b'\x80\x02}(' + COLLIDING + b'u.',
    'nested field': field(b']' + b'q\x000]h\x00a' * 15_000),
    'doubled field': field(DOUBLED_LIST),
    'doubled text': field(DOUBLED_LIST, 'bs_style'),
    'doubled name': b'\x80\x04' + DOUBLED_TUPLE + b'h\x00\x93.',
    'doubled encoding': field(call('_codecs.encode', text('a'), DOUBLED_LIST) + b'R'),
    'doubled nodes': field(DOUBLED_SELECT),
    'lists that are made sets again and again': b'\x80\x02](' + b'K\x01' * 20_000 + b'eq\x000('
    + b'c__builtin__\nset\nh\x00\x85R' * 15_000 + b't.',
    'text that is encoded again and again': b'\x80\x02' + text('a' * 10**6) + b'q\x000('
    + b'c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R' * 15_000 + b't.',
    'stack': b'\x80\x02' + b'}' * 500_000 + b'.',
    'marks': b'\x80\x02' + b'(' * 500_000 + b'.',
    'array': field(call('numpy.ndarray', LARGE + b'\x85') + b'R'),
    'array from nothing': field(call('numpy.core.multiarray._reconstruct',
        b'cnumpy\nndarray\n', LARGE + b'\x85', text('b')) + b'R'),
    'array of declared shape': field(RAW_ARRAY.replace(b'K\x09\x85', LARGE + b'\x85')),
    'matrix of declared shape': field(b'cscipy.sparse.csc\ncsc_matrix\n)\x81}(' + b''.join(
        text(name) + RAW_ARRAY for name in ('data', 'indices', 'indptr'))
        + text('_shape') + LARGE + LARGE + b'\x86ub'),
    'matrix of texts': field(b'cscipy.sparse.csc\ncsc_matrix\n)\x81}(' + b''.join(
        text(name) + RAW_ARRAY for name in ('data', 'indices', 'indptr'))
        + text('_shape') + text('a' * 999) + LARGE + b'\x86ub'),
    'long name': b'c' + b'a' * 10**6 + b'\nb\n.',
    'long key': b'\x80\x02}' + text('a' * 10**6) + b'Ns.',
}  # fmt: skip


def peak_of(function):
    tracemalloc.start()
    try:
        function()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize('name', BOMBS)
@pytest.mark.filterwarnings('ignore:.*md5 differs')
def test_bombs_do_not_go_off(tmp_path, name):
    path = tmp_path / 'M.pkl'
    path.write_bytes(BOMBS[name])
    messages = []

    def read():
        with pytest.raises(ManoFileError) as error:
            read_mano(path)
        messages.append(str(error.value))

    start = time.perf_counter()
    peak = peak_of(read)
    assert time.perf_counter() - start < 5  # traced, on a busy machine; the bombs take years
    assert peak < 30e6
    assert messages[0].startswith(f'{path}: ')
    assert len(messages[0]) < len(str(path)) + 400


def test_the_bombs_are_real():
    """The ordinary reader claims 8 bytes for each place of the memo up to the index."""
    harmless = b'\x80\x02}r\x00\x00\x40\x00.'
    assert peak_of(lambda: pickle.loads(harmless)) > 30e6
    assert peak_of(lambda: read_pickle(harmless)) < 1e6


def test_too_large_a_file_is_not_read(tmp_path):
    path = tmp_path / 'M.pkl'
    path.touch()
    os.truncate(path, 10**11)
    with raises_naming(ManoFileError, path, '32,000,000', 'found', '100,000,000,000'):
        read_mano(path)


@pytest.mark.parametrize(
    ('code', 'facts'),
    [
        (b'\x80\x02Pid\n.', ['opcode', 'PERSID', 'refused']),
        (b'\x80\x02(ios\nsystem\n.', ['opcode', 'INST', 'refused']),
        (b'\x80\x02(cnumpy\ndtype\no.', ['opcode', 'OBJ', 'refused']),
        (b'\x80\x02\x82\x01.', ['opcode', 'EXT1', 'refused']),
        (b'\x80\x02]N\x85R.', ['calls', 'no name', 'refused']),
        (b'\x80\x02}}b.', ['changes', 'no object', 'refused']),
        (b'\x80\x02cchumpy.ch\nCh\n}b.', ['changes', 'no object', 'refused']),
        (b'\x80\x02}](NNu.', ['damaged', 'dict', 'found', 'list']),
        (b'\x80\x02}Na.', ['damaged', 'list', 'found', 'dict']),
        (b'\x80\x02}(Nu.', ['damaged']),
        (b'\x80\x02R.', ['damaged', 'stack', 'empty']),
        (b'\x80\x02u.', ['damaged']),
        (b'\x80\x02.', ['damaged']),
    ],
)
def test_opcodes_that_do_not_fit(code, facts):
    with raises_naming(PickleError, *facts):
        read_pickle(code)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)
    | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_are_what_pickle_reads(value, protocol):
    content = pickle.dumps(value, protocol)
    if protocol == 2 and b'c_codecs\nencode\n' in content:
        return  # bytes, which this protocol writes as calls
    if protocol == 2 and b'c__builtin__\nbytes\n' in content:
        return  # empty ones
    assert read_pickle(content) == value


def test_recursive_values():
    value = ([],)
    value[0].append(value)
    found = read_pickle(pickle.dumps(value, 2))
    assert found[0][0][0] is found[0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_arrays_are_what_pickle_reads(data):
    dtype = data.draw(st.sampled_from(['<f8', '>f4', '<i8', '>u2', '|u1', '|b1', '<f2']))
    protocol = data.draw(st.sampled_from([2, 3, 4, 5]))
    least = 1 if protocol == 2 else 0  # it writes no bytes as a call of bytes
    shape = data.draw(st.tuples(st.integers(least, 4), st.integers(least, 5)))
    array = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    if data.draw(st.booleans()):
        array = np.asfortranarray(array)
    found = resolve(read_pickle(pickle.dumps(array, protocol)))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.filterwarnings('ignore:invalid escape sequence')
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bytes_are_an_error_or_other_values(changes):
    fields = {'a': np.arange(6.0).reshape(2, 3), 'm': sparse.csc_matrix(np.eye(3))}
    content = bytearray(pickle.dumps(fields, 2))
    for place, value in changes:
        content[place % len(content)] = value
    try:
        found = read_pickle(bytes(content))
    except PickleError:
        return
    for value in found.values() if isinstance(found, dict) else [found]:
        with contextlib.suppress(ValueError, TypeError, LookupError, OverflowError):
            assert resolve(value).nbytes < 1e7


def test_as_fast_as_ever(tmp_path):
    """Arrays of MANO_RIGHT.pkl's size, 3.8 MB: below a second."""
    content = pickle.dumps({f'field {k}': np.ones(60_000) for k in range(8)}, 4)
    assert len(content) > 3.8e6
    start = time.perf_counter()
    fields = read_pickle(content)
    total = sum(resolve(node).sum() for node in fields.values())
    assert time.perf_counter() - start < 1
    assert total == 480_000
    assert 5 * len(content) < mano_io.MAX_BYTES
