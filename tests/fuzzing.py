"""Damage to good files, for tests that nothing but errors of ours comes out of a reader."""

import contextlib
import copy
import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastvit_dense.errors import FastViTDenseError

# each fuzz test runs twice: a few cases in the default suite, many in `make test-slow`
CASES = pytest.mark.parametrize('cases', [60, pytest.param(10_000, marks=pytest.mark.slow)])

_PLACE = st.floats(0, 1, exclude_max=True)
_TELLING = [b'\0' * 4, b'\xff' * 4, b'\xff' * 8, b'\x7f\xff\xff\xff', b'[' * 40, b'9' * 40]
_SHORT = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(_TELLING))
_DAMAGE = st.sampled_from(['flip', 'write', 'insert', 'delete', 'cut', 'repeat'])
CHANGES = st.lists(st.tuples(_DAMAGE, _PLACE, _SHORT), min_size=1, max_size=6)
HUGE = 10**400
_VALUES = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 5, 2**31, 2**63, -(2**63), 2**64, HUGE, -HUGE),
        *(0.5, -0.0, 1e20, 1e39, 1e300, -1e300, float('inf'), float('nan')),
        *('', 'a', '\ud800', 'x\0y', '../../x', '/dev/zero', 'x' * 400, '9' * 400),
        *([], {}, [[]], [1], [1, 2, 3, 4], [None] * 4, [1e300] * 4, ['a'], {'a': 1}, {'size': 5}),
    ]
)
_KINDS = st.sampled_from(['replace', 'remove', 'double', 'deepen', 'rename'])
_EDITS = st.lists(st.tuples(_KINDS, _PLACE, _VALUES), min_size=1, max_size=3)


def fuzz(cases, strategy, read):
    """Call a reader with many drawn values; whatever it raises must be an error of ours.

    Args:
        cases: How many; the same ones in every run.
        strategy: Of hypothesis.
        read: Called with each value.

    Returns:
        How many were read without an error.
    """
    read_well = 0

    @settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value):
        nonlocal read_well
        with contextlib.suppress(FastViTDenseError), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            read(value)
            read_well += 1

    run()
    return read_well


def damaged(content):
    """Strategy: a file's bytes, changed, cut and doubled in a few places."""
    return CHANGES.map(lambda changes: damage(content, changes))


def damage(content, changes):
    """Bytes with `CHANGES`; of large files these are drawn: hypothesis keeps what it draws."""
    data = bytearray(content)
    for kind, place, value in changes:
        at = int(place * len(data))
        if kind == 'flip' and data:
            data[at] ^= 1 << (value[0] % 8)
        elif kind == 'write':
            data[at : at + len(value)] = value
        elif kind == 'insert':
            data[at:at] = value
        elif kind == 'delete':
            del data[at : at + value[0]]
        elif kind == 'cut' and value[0] < 64:  # seldom: what follows is never read again
            del data[at:]
        elif kind == 'repeat':
            data[at:at] = data[at : at + 64]
    return bytes(data)


def edited(document):
    """Strategy: a JSON document as text, values of it replaced, removed, doubled and renamed."""
    return _EDITS.map(lambda edits: _edit(document, edits))


def edited_or_damaged(document):
    """Strategy: JSON as bytes, changed in its structure or in its bytes."""
    text = json.dumps(document).encode()
    as_bytes = edited(document).map(lambda text: text.encode('utf-8', 'surrogatepass'))
    return st.one_of(as_bytes, as_bytes, damaged(text))


def _edit(document, edits):
    document = {'top': copy.deepcopy(document)}
    for kind, place, value in edits:
        places = list(_places(document['top'], document, 'top'))
        holder, key = places[int(place * len(places))]
        if kind == 'replace':
            holder[key] = copy.deepcopy(value)
        elif kind == 'remove' and key != 'top':
            del holder[key]
        elif kind == 'double' and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif kind == 'deepen':
            holder[key] = [holder[key]]
        elif kind == 'rename' and key != 'top' and isinstance(holder, dict):
            holder[str(value)[:20]] = holder.pop(key)
    return json.dumps(document['top'])


def _places(value, holder, key):
    yield holder, key
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for inner, one in list(pairs):
            yield from _places(one, value, inner)
