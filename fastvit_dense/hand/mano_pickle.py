"""The arrays of a pickle such as `MANO_RIGHT.pkl`, read without unpickling it.

Such a file is a Python 2 pickle with NumPy, SciPy and chumpy objects. Any pickle can run code, and
a few bytes of one can claim gigabytes, so none is loaded here: `pickletools` splits it into its
opcodes, and a stack machine follows those that build dicts, lists, tuples, numbers and text. Calls
and objects become `Node`s; only where a field is asked for, `resolve` makes an array of one.
"""

import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from ..errors import reason_of

MAX_OPCODES = 100_000  # MANO_RIGHT.pkl needs some hundreds
MAX_DEPTH = 4  # of nodes within nodes; there a Select holds a Ch that holds an array
MAX_ENTRIES = 1_000_000  # of an array that is put together from others; there 23,340

# Whole (module, name) pairs, in the spellings of Python 2 and 3 and of old and new libraries.
KINDS = {
    ('chumpy.ch', 'Ch'): 'Ch',
    ('chumpy.reordering', 'Select'): 'Select',
    ('scipy.sparse.csc', 'csc_matrix'): 'csc_matrix',
    ('scipy.sparse._csc', 'csc_matrix'): 'csc_matrix',
    ('numpy.core.multiarray', '_reconstruct'): 'array',
    ('numpy._core.multiarray', '_reconstruct'): 'array',
    ('numpy.core.numeric', '_frombuffer'): 'buffer',
    ('numpy._core.numeric', '_frombuffer'): 'buffer',
    ('numpy', 'ndarray'): 'ndarray',
    ('numpy', 'dtype'): 'dtype',
    ('__builtin__', 'set'): 'set',
    ('builtins', 'set'): 'set',
    ('_codecs', 'encode'): 'bytes',
}


class PickleError(ValueError):
    """A pickle that cannot be read, or is refused."""


class Name:
    """A reference by module and name in an opcode; never imported."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Node:
    """The result that a call of a name would give: its arguments, and the state set afterwards."""

    def __init__(self, kind: str, arguments: tuple) -> None:
        self.kind = kind
        self.arguments = arguments
        self.state: Any = None


def read_pickle(content: bytes) -> Any:
    """Read a pickle: plain values, and `Node`s in the place of objects.

    Keys of dicts that are neither text nor small numbers nor nodes are left out with their values.

    Raises:
        PickleError: It is damaged or too long, or refers to a name that no MANO file needs.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count == MAX_OPCODES:
                raise PickleError(f'expected at most {MAX_OPCODES:,} opcodes, found more')
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except PickleError:
        raise
    except LookupError as error:  # says no more than a number
        raise PickleError('damaged, or no pickle') from error
    except (ValueError, TypeError, OverflowError) as error:
        raise PickleError(f'damaged, or no pickle: {shortened(reason_of(error))}') from error


class _Machine:
    """The stack, the marks in it and the memo of a pickle that is followed."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode, by its name in `pickletools`."""
        if name in _IGNORED:
            return
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _OPCODES:
            _OPCODES[name](self, argument)
        else:
            raise PickleError(f'it has the opcode {name}, which no MANO file needs; refused')

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last mark off the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> list[Any]:
        """Take the last items off the stack."""
        if count > len(self.stack):
            raise PickleError('damaged: the stack is empty')
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def pop_mark(self, _: None) -> None:
        self.since_mark()

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def pop(self, _: None) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise PickleError(f'damaged: expected a list, found {type(target).__name__}')
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise PickleError(f'damaged: expected a dict, found {type(target).__name__}')
        for key, value in zip(items[::2], items[1::2], strict=True):
            if _is_quick_to_hash(key):
                target[key] = value

    def refer(self, module: str, name: str) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError('damaged: expected a module and a name')
        kind = KINDS.get((module, name))
        if kind is None:
            raise PickleError(
                f'it refers to {shortened(f"{module}.{name}")}, which no MANO file needs; '
                'refused, nothing of it was run'
            )
        self.stack.append(Name(kind))

    def call(self, _: None) -> None:
        name, arguments = self.last(2)
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise PickleError('it calls what has no name; refused, nothing of it was run')
        if name.kind == 'bytes' and arguments[1:] != ('latin1',):
            raise PickleError(f'text encoding {_shown(arguments[-1])}, expected latin1')
        self.stack.append(Node(name.kind, arguments))

    def build(self, _: None) -> None:
        (state,) = self.last(1)
        if not isinstance(self.stack[-1], Node):
            raise PickleError('it changes what is no object; refused, nothing of it was run')
        self.stack[-1].state = state


_IGNORED = {'PROTO', 'FRAME', 'STOP'}
_VALUES = {
    'INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT',
    'STRING', 'BINSTRING', 'SHORT_BINSTRING', 'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8',
    'BYTEARRAY8', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8',
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_DICT': dict,
    'EMPTY_LIST': list,
    'EMPTY_SET': list,  # members of sets are never looked for
    'EMPTY_TUPLE': tuple,
}
_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    'MARK': _Machine.mark,
    'POP': _Machine.pop,
    'POP_MARK': _Machine.pop_mark,
    'PUT': _Machine.put,
    'BINPUT': _Machine.put,
    'LONG_BINPUT': _Machine.put,
    'MEMOIZE': _Machine.put,
    'GET': _Machine.get,
    'BINGET': _Machine.get,
    'LONG_BINGET': _Machine.get,
    'TUPLE': lambda m, _: m.stack.append(tuple(m.since_mark())),
    'TUPLE1': lambda m, _: m.stack.append(tuple(m.last(1))),
    'TUPLE2': lambda m, _: m.stack.append(tuple(m.last(2))),
    'TUPLE3': lambda m, _: m.stack.append(tuple(m.last(3))),
    'LIST': lambda m, _: m.stack.append(m.since_mark()),
    'APPEND': lambda m, _: m.append(m.last(1)),
    'APPENDS': lambda m, _: m.append(m.since_mark()),
    'ADDITEMS': lambda m, _: m.append(m.since_mark()),
    'SETITEM': lambda m, _: m.set_items(m.last(2)),
    'SETITEMS': lambda m, _: m.set_items(m.since_mark()),
    'GLOBAL': lambda m, both: m.refer(*both.split(' ', 1)),
    'STACK_GLOBAL': lambda m, _: m.refer(*m.last(2)),
    'REDUCE': _Machine.call,
    'NEWOBJ': _Machine.call,
    'BUILD': _Machine.build,
}


def _is_quick_to_hash(key: Any) -> bool:
    """Tuples within tuples may take years, large numbers may be chosen to collide."""
    return isinstance(key, str | bytes | Node) or (isinstance(key, int) and -(2**32) < key < 2**32)


def resolve(value: Any, depth: int = 0) -> np.ndarray:
    """The array of numbers that a `Node` of `read_pickle` stands for.

    Raises:
        ValueError, TypeError, LookupError, OverflowError: It stands for none, or is inconsistent.
    """
    if isinstance(value, int | float):
        return np.asarray(value)
    if not isinstance(value, Node) or value.kind not in _RESOLVE:
        found = f'a {value.kind}' if isinstance(value, Node) else type(value).__name__
        raise ValueError(f'expected an array, found {found}')
    if depth > MAX_DEPTH:
        raise ValueError(f'expected objects at most {MAX_DEPTH} deep, found them deeper')
    return _RESOLVE[value.kind](value, depth + 1)


def _array(node: Node, depth: int) -> np.ndarray:
    """State of a NumPy array: version, shape, dtype, whether in Fortran's order, raw bytes."""
    _, shape, dtype, is_fortran, data = node.state
    return _from_bytes(_bytes(data), dtype, shape, 'F' if is_fortran else 'C')


def _buffer(node: Node, depth: int) -> np.ndarray:
    """Protocol 5 gives an array as raw bytes, dtype, shape and order."""
    data, dtype, shape, order = node.arguments
    return _from_bytes(_bytes(data), dtype, shape, order)


def _from_bytes(data: bytes | bytearray, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    array: np.ndarray = np.ndarray(shape, _dtype(dtype), data, order=order)
    if array.nbytes != len(data):
        raise ValueError(f'expected {array.nbytes} bytes of shape {shape}, found {len(data)}')
    return array


def _bytes(data: Any) -> bytes | bytearray:
    """Python 2 has text for raw bytes; Python 3 encodes such text in protocol 2."""
    if isinstance(data, Node) and data.kind == 'bytes':
        data = data.arguments[0]
    if isinstance(data, str):
        return data.encode('latin1')
    if not isinstance(data, bytes | bytearray):
        raise ValueError(f'expected raw numbers, found {type(data).__name__}')
    return data


def _dtype(node: Any) -> np.dtype:
    code = node.arguments[0] if isinstance(node, Node) and node.kind == 'dtype' else None
    order = node.state[1] if code and node.state else '|'
    if not isinstance(code, str) or not re.fullmatch(r'[biuf]\d{1,2}', code):
        raise ValueError(f'expected numbers, found type {_shown(code)}')
    if order not in ('<', '>', '=', '|'):
        raise ValueError(f'expected the order of bytes, found {_shown(order)}')
    return np.dtype(order + code)


def _chumpy_array(node: Node, depth: int) -> np.ndarray:
    return resolve(node.state['x'], depth)


def _chumpy_select(node: Node, depth: int) -> np.ndarray:
    """Entries `idxs` of the flattened `a`, in another shape."""
    indices = resolve(node.state['idxs'], depth)
    if indices.size > MAX_ENTRIES:
        raise ValueError(f'expected at most {MAX_ENTRIES:,} entries, found {indices.size:,}')
    entries = resolve(node.state['a'], depth).ravel()[indices]
    return entries.reshape(node.state['preferred_shape'])


def _csc_matrix(node: Node, depth: int) -> np.ndarray:
    parts = tuple(resolve(node.state[name], depth) for name in ('data', 'indices', 'indptr'))
    rows, columns = node.state['_shape']
    if not all(isinstance(n, int) and 0 <= n <= MAX_ENTRIES for n in (rows, columns)):
        raise ValueError('expected a shape of two small numbers')
    if rows * columns > MAX_ENTRIES:
        raise ValueError(f'expected at most {MAX_ENTRIES:,} entries, found {rows} x {columns}')
    matrix = sparse.csc_matrix(parts, shape=(rows, columns))
    matrix.check_format(full_check=True)
    return matrix.toarray()


_RESOLVE: dict[str, Callable[[Node, int], np.ndarray]] = {
    'array': _array,
    'buffer': _buffer,
    'Ch': _chumpy_array,
    'Select': _chumpy_select,
    'csc_matrix': _csc_matrix,
}


def _shown(value: Any) -> str:
    """A value of the file for a message: lists within lists may have no end."""
    return repr(shortened(value)) if isinstance(value, str) else type(value).__name__


def shortened(text: str) -> str:
    """A text for a message, cut where it is long."""
    return text if len(text) <= 200 else f'{text[:200]}...'
