"""Run-length codes of annotation files against pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from fastvit_dense.datasets.formats.rle import compressed, rle_extent, rle_problem
from tests.facts import assert_names


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 60))
def test_every_form_of_a_mask(seed, height, width):
    random = np.random.default_rng(seed)
    mask = (random.random((height, width)) < random.choice([0, 0.01, 0.5, 1])).astype(np.uint8)
    packed = coco_mask.encode(np.asfortranarray(mask))
    flat = np.concatenate([[0], mask.ravel(order='F'), [0]])
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    forms = [packed, {**packed, 'counts': packed['counts'].decode()}, {**packed, 'counts': runs}]
    rows, columns = np.nonzero(mask)
    extent = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None
    for form in forms:
        assert rle_problem(form, (height, width)) is None
        assert rle_extent(form) == extent
        np.testing.assert_array_equal(coco_mask.decode(compressed(form)), mask)


@pytest.mark.parametrize(
    ('rle', 'facts'),
    [
        ([1], ['expected', 'found', 'list']),
        ({'counts': [6]}, ['.size', [2, 3], 'found', None]),
        ({'size': 5, 'counts': [6]}, ['.size', [2, 3], 'found', 5]),
        ({'size': [3, 2], 'counts': [6]}, ['.size', [2, 3], 'found', [3, 2]]),
        ({'size': [2, 3]}, ['.counts', 6, 'found', 'none']),
        ({'size': [2, 3], 'counts': [7, -1]}, ['.counts', 6, 'found', 'broken']),
        ({'size': [2, 3], 'counts': [6.0]}, ['.counts', 6, 'found', 'broken']),
        ({'size': [2, 3], 'counts': [10**400]}, ['.counts', 6, 'found']),
        ({'size': [2, 3], 'counts': [4, 1]}, ['.counts', 6, 'found', 5]),
        ({'size': [2, 3], 'counts': 'né'}, ['.counts', 6, 'found', 'broken']),
        ({'size': [2, 3], 'counts': '7'}, ['.counts', 6, 'found', 'broken', 7]),
    ],
)
def test_codes_that_are_none(rle, facts):
    assert_names(rle_problem(rle, (2, 3)), *facts)
