"""MANO files: pickles made here with temporary chumpy modules, hostile pickles, npz."""

import dataclasses
import hashlib
import io
import os
import pickle
import struct
import sys
import types
import warnings

import numpy as np
import pytest
from scipy import sparse

from fastvit_dense.errors import ManoFileError, MissingFileError
from fastvit_dense.hand import Mano, mano_io, read_mano, save_npz, standin_mano
from fastvit_dense.hand.mano import ARRAY_SHAPES, PARENTS
from tests.facts import raises_naming, warns_naming

pytestmark = pytest.mark.filterwarnings('ignore:.*md5 differs')


@pytest.fixture(scope='module')
def model():
    return standin_mano()


@pytest.fixture
def chumpy(monkeypatch):
    """Modules with the names and the saved state of chumpy's classes; gone before reading."""

    class Ch:
        pass

    class Select:
        pass

    for name, cls, module in (('Ch', Ch, 'chumpy.ch'), ('Select', Select, 'chumpy.reordering')):
        cls.__module__, cls.__qualname__ = module, name
        fake = types.ModuleType(module)
        setattr(fake, name, cls)
        monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setitem(sys.modules, 'chumpy', types.ModuleType('chumpy'))
    return types.SimpleNamespace(Ch=Ch, Select=Select)


def chumpy_array(chumpy, array):
    node = chumpy.Ch()
    node.__dict__ |= {'x': array, '_dirty_vars': {'x'}, '_status': 'new', '_cache': {}}
    return node


def select(chumpy, source, indices, shape):
    node = chumpy.Select()
    node.__dict__ |= {'_dirty_vars': set(), 'a': source, 'idxs': indices, 'preferred_shape': shape}
    return node


def mano_fields(model, chumpy):
    """What MANO_RIGHT.pkl holds, `shapedirs` hidden in a larger array behind a Select node."""
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    fields['J_regressor'] = sparse.csc_matrix(model.J_regressor)
    tree = model.kintree_table.copy()
    tree[0, 0] = 2**32 - 1
    fields['kintree_table'] = tree
    larger = np.random.default_rng(0).normal(size=(778, 3, 12))
    larger[:, :, :10] = model.shapedirs
    indices = np.arange(larger.size).reshape(larger.shape)[:, :, :10].ravel()
    fields['shapedirs'] = select(chumpy, chumpy_array(chumpy, larger), indices, (778, 3, 10))
    return fields | {'bs_style': 'lbs', 'bs_type': 'lrotmin'}


def write_pickle(path, fields, protocol=2, spelling='old'):
    """`spelling='old'`: the module names of Python 2 and of old NumPy and SciPy."""
    content = pickle.dumps(fields, protocol)
    if spelling == 'old':
        assert protocol == 2
        for new, old in ((b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n'),
                         (b'cscipy.sparse._csc\n', b'cscipy.sparse.csc\n')):  # fmt: skip
            assert new in content
            content = content.replace(new, old)
        assert b'c__builtin__\nset\n' in content
    path.write_bytes(content)
    for name in ('chumpy', 'chumpy.ch', 'chumpy.reordering'):
        sys.modules.pop(name, None)
    return path


def assert_same(found, expected):
    for name in ARRAY_SHAPES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
        assert getattr(found, name).dtype == getattr(expected, name).dtype, name


@pytest.mark.parametrize(('protocol', 'spelling'), [(2, 'old'), (2, 'new'), (4, 'new'), (5, 'new')])
def test_pickle_with_chumpy_nodes(model, chumpy, tmp_path, protocol, spelling):
    path = write_pickle(tmp_path / 'M.pkl', mano_fields(model, chumpy), protocol, spelling)
    found = read_mano(path)
    assert_same(found, model)
    assert found.bs_type == 'lrotmin'
    assert found.release is None
    assert not found.is_standin
    assert found.name == 'MANO (unknown release)'
    assert not [name for name in sys.modules if name.startswith('chumpy')]
    Mano(found)


def test_orders_of_bytes_and_axes(model, tmp_path):
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    fields['posedirs'] = np.asfortranarray(model.posedirs)
    fields['v_template'] = model.v_template.astype('>f8')
    fields['kintree_table'] = model.kintree_table.astype('<i2')
    assert_same(read_mano(write_pickle(tmp_path / 'M.pkl', fields, 2, 'new')), model)


class Python2Pickler:
    """Writes protocol 2 as Python 2's cPickle does: byte strings, `str` for raw array data."""

    def __init__(self):
        self.out = io.BytesIO()
        self.out.write(b'\x80\x02')

    def save(self, value):
        write = self.out.write
        if isinstance(value, dict):
            write(b'}(')
            for key, item in value.items():
                self.save(key)
                self.save(item)
            write(b'u')
        elif isinstance(value, tuple):
            write(b'(')
            for item in value:
                self.save(item)
            write(b't')
        elif isinstance(value, (str, bytes)):
            raw = value.encode() if isinstance(value, str) else value
            write(b'T' + struct.pack('<i', len(raw)) + raw)
        elif value is None:
            write(b'N')
        elif isinstance(value, bool):
            write(b'\x88' if value else b'\x89')
        elif isinstance(value, int):
            write(b'J' + struct.pack('<i', value))
        elif isinstance(value, np.ndarray):
            write(b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n')
            self.save((0,))
            self.save('b')
            write(b'\x87R')
            data = np.ascontiguousarray(value)
            write(b'(')
            self.save(1)
            self.save(data.shape)
            write(b'cnumpy\ndtype\n')
            self.save((data.dtype.str[1:], 0, 1))
            write(b'R')
            self.save((3, '<', None, None, None, -1, -1, 0))
            write(b'b')
            self.save(False)
            self.save(data.tobytes())
            write(b'tb')
        else:  # an object: (module, name, state)
            write(b'c' + value.module.encode() + b'\n' + value.name.encode() + b'\n)\x81')
            self.save(value.state)
            write(b'b')

    def finish(self, value):
        self.save(value)
        return self.out.getvalue() + b'.'


def python2_object(module, name, **state):
    return types.SimpleNamespace(module=module, name=name, state=state)


def test_pickle_in_the_bytes_of_python_2(model, tmp_path):
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    regressor = sparse.csc_matrix(model.J_regressor)
    fields['J_regressor'] = python2_object(
        'scipy.sparse.csc', 'csc_matrix', maxprint=50, _shape=(16, 778),
        data=regressor.data, indices=regressor.indices, indptr=regressor.indptr,
    )  # fmt: skip
    order = np.random.default_rng(0).permutation(778 * 30)
    shuffled = np.empty(778 * 30)
    shuffled[order] = model.shapedirs.ravel()
    inner = python2_object('chumpy.ch', 'Ch', x=shuffled)
    fields['shapedirs'] = python2_object(
        'chumpy.reordering', 'Select', a=inner, idxs=order, preferred_shape=(778, 3, 10)
    )
    path = tmp_path / 'MANO_RIGHT.pkl'
    path.write_bytes(Python2Pickler().finish(fields | {'bs_style': 'lbs', 'bs_type': 'lrotmin'}))
    assert_same(read_mano(path), model)


class Bomb:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def forged(module, name, argument, protocol=2):
    """A pickle that calls module.name(argument)."""
    if protocol == 2:
        return b'\x80\x02c%b\n%b\nX%b%b\x85R.' % (
            module.encode(), name.encode(), struct.pack('<I', len(argument)), argument.encode()
        )  # fmt: skip
    stack_global = b''.join(
        b'\x8c' + bytes([len(s)]) + s.encode() for s in (module, name)
    )  # fmt: skip
    return (
        b'\x80\x04'
        + stack_global
        + b'\x93\x8c'
        + bytes([len(argument)])
        + (argument.encode() + b'\x85R.')
    )


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('os', 'system'),
        ('posix', 'system'),
        ('builtins', 'eval'),
        ('builtins', 'exec'),
        ('builtins', 'getattr'),
        ('builtins', '__import__'),
        ('__builtin__', 'eval'),
        ('numpy', 'load'),
        ('numpy', 'fromfile'),
        ('numpy.core.multiarray', 'fromfile'),
        ('chumpy.ch', 'Ch.__init__'),
        ('chumpy.utils', 'anything'),
        ('scipy.sparse.csc', 'np.f2py.compile'),
        ('scipy.sparse', 'csc_matrix'),
        ('numpy', 'ndarray.tofile'),
        ('_codecs', 'open'),
        ('codecs', 'encode'),
        ('runpy', 'run_path'),
    ],
)
@pytest.mark.parametrize('protocol', [2, 4])
def test_foreign_names_are_refused_by_name(tmp_path, module, name, protocol):
    path = tmp_path / 'M.pkl'
    path.write_bytes(forged(module, name, 'x', protocol))
    with raises_naming(ManoFileError, path, f'{module}.{name}', 'refused'):
        read_mano(path)


def test_code_in_a_pickle_does_not_run(model, chumpy, tmp_path):
    marker = tmp_path / 'ran'
    for number, bomb in enumerate(
        (Bomb(os.system, f'touch {marker}'), Bomb(eval, f'open({str(marker)!r}, "w")'),
         Bomb(os.mkdir, str(marker)), Bomb(exec, f'import os; os.mkdir({str(marker)!r})'))
    ):  # fmt: skip
        path = tmp_path / f'{number}.pkl'
        path.write_bytes(pickle.dumps({'v_template': model.v_template, 'x': bomb}, 2))
        with raises_naming(ManoFileError, path, 'refused', 'nothing of it was run'):
            read_mano(path)
        assert not marker.exists()
    # the bombs are real: the ordinary reader does run them
    pickle.loads(path.read_bytes())
    assert marker.exists()


def test_text_codecs_are_not_a_way_in(tmp_path):
    path = tmp_path / 'M.pkl'
    path.write_bytes(b'\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.')
    with raises_naming(ManoFileError, path, 'encoding', 'zip', 'latin1'):
        read_mano(path)
    # a pickle cannot change the reader's own functions for the next file (BUILD with slots)
    hostile = b'\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__X\x01\x00\x00\x00as\x86b.'
    path.write_bytes(hostile)
    with raises_naming(ManoFileError, path, 'changes', 'no object', 'refused'):
        read_mano(path)


def test_damaged_files_name_the_file(model, chumpy, tmp_path):
    path = write_pickle(tmp_path / 'M.pkl', mano_fields(model, chumpy))
    content = path.read_bytes()
    for cut in (0, 1, 2, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with raises_naming(ManoFileError, path, 'MANO pickle'):
            read_mano(path)
    path.write_bytes(b'not a pickle at all')
    with raises_naming(ManoFileError, path, 'MANO pickle'):
        read_mano(path)
    path.write_bytes(b'hello, no pickle')
    with pytest.raises(ManoFileError) as error:
        read_mano(path)
    assert '101' not in str(error.value)
    path.write_bytes(b'<!DOCTYPE html><html>')
    with raises_naming(ManoFileError, path, 'web page'):
        read_mano(path)
    path.write_bytes(b'version https://git-lfs.github.com/spec/v1\n')
    with raises_naming(ManoFileError, path, 'git lfs pull'):
        read_mano(path)
    path.write_bytes(pickle.dumps([1, 2], 2))
    with raises_naming(ManoFileError, path, 'dict', 'found', 'list'):
        read_mano(path)


@pytest.mark.parametrize('field', [f for f in ARRAY_SHAPES if f != 'hands_coeffs'])
def test_missing_field_is_named(model, tmp_path, field):
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES if name != field}
    path = tmp_path / 'M.pkl'
    path.write_bytes(pickle.dumps(fields, 4))
    with raises_naming(ManoFileError, path, 'missing', field, 'found'):
        read_mano(path)


@pytest.mark.parametrize(
    ('field', 'change', 'expected', 'found'),
    [
        ('v_template', lambda a: a[:776], '778 x 3', (776, 3)),
        ('shapedirs', lambda a: a[:, :, 0], '778 x 3 x 10', (778, 3)),
        ('hands_coeffs', lambda a: a[:, :6], 'N x 45', (1554, 6)),
        ('weights', lambda a: a * np.nan, 'finite', 'NaN'),
        ('posedirs', lambda a: a.astype('U4'), 'numbers', 'U4'),
        ('hands_mean', lambda a: {'x': 1}, 'array', 'dict'),
        ('hands_mean', lambda a: a.tolist(), 'array', 'list'),
        ('hands_mean', lambda a: a.astype(object), 'numbers', 'list'),
        ('f', lambda a: a + np.uint32(1), '0 to 777', '1 to 778'),
        ('kintree_table', np.zeros_like, PARENTS, (0,) * 16),
    ],
)
def test_wrong_field_says_expected_and_found(model, tmp_path, field, change, expected, found):
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    fields[field] = change(fields[field])
    path = tmp_path / 'M.pkl'
    path.write_bytes(pickle.dumps(fields, 4))
    with raises_naming(ManoFileError, path, field, expected, 'found', found):
        read_mano(path)


@pytest.mark.parametrize(
    ('source', 'index', 'facts'),
    [
        (np.zeros(5), 7, ['index', 7]),
        (np.array(['a']), 0, ['numbers', 'found', 'U1']),
    ],
)
def test_broken_chumpy_nodes_name_the_field(model, chumpy, tmp_path, source, index, facts):
    fields = mano_fields(model, chumpy)
    fields['shapedirs'] = select(chumpy, source, np.array([index]), (1,))
    path = write_pickle(tmp_path / 'M.pkl', fields)
    with raises_naming(ManoFileError, path, 'shapedirs', *facts):
        read_mano(path)


def test_sparse_indices_out_of_range_are_caught(model, tmp_path):
    fields = {name: getattr(model, name) for name in ARRAY_SHAPES}
    matrix = sparse.csc_matrix(model.J_regressor)
    matrix.indices[3] = 10**6
    fields['J_regressor'] = matrix
    path = tmp_path / 'M.pkl'
    path.write_bytes(pickle.dumps(fields, 4))
    with raises_naming(ManoFileError, path, 'J_regressor'):
        read_mano(path)


def test_missing_file_says_where_from_where_to_and_what_meanwhile(tmp_path):
    path = tmp_path / 'MANO_RIGHT.pkl'
    places = ['https://mano.is.tue.mpg.de', 'data/mano/MANO_RIGHT.pkl', 'model.mano.standin=True']
    with raises_naming(MissingFileError, path, *places):
        read_mano(path)


def test_release_is_recognised_by_md5(model, chumpy, tmp_path, monkeypatch):
    assert mano_io.KNOWN_RELEASES['fd5a9d35f914987cf1cc04ffe338caa1'] == 'MANO v1.2'
    path = write_pickle(tmp_path / 'M.pkl', mano_fields(model, chumpy))
    with warns_naming(UserWarning, path, 'md5', 'MANO v1.2'):
        read_mano(path)
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(mano_io.KNOWN_RELEASES, digest, 'MANO v9')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = read_mano(path)
    assert found.release == found.name == 'MANO v9'
    save_npz(found, tmp_path / 'M.npz')
    assert read_mano(tmp_path / 'M.npz').release == 'MANO v9'


def test_a_left_hand_is_refused(model, chumpy, tmp_path):
    """As a pickle and as an npz: mirrored again, it would be a right hand."""
    mirror = np.array([-1.0, 1, 1])
    left = dataclasses.replace(
        model,
        v_template=model.v_template * mirror,
        J=model.J * mirror,
        hands_mean=(model.hands_mean.reshape(15, 3) * -mirror).ravel(),
    )
    save_npz(left, tmp_path / 'left.npz')
    write_pickle(tmp_path / 'MANO_LEFT.pkl', mano_fields(left, chumpy))
    for name in ('left.npz', 'MANO_LEFT.pkl'):
        with raises_naming(ManoFileError, tmp_path / name, 'MANO_RIGHT.pkl', 'left', "side='left'"):
            read_mano(tmp_path / name)
