"""The types of columns are those of what results give."""

import numpy as np
import pytest

from fastvit_dense.results.columns import column_types
from fastvit_dense.results.hand import HandResult
from fastvit_dense.results.hands import HandsResult
from fastvit_dense.results.instance import InstanceResult
from fastvit_dense.results.semantic import SemanticResult

IMAGE = np.zeros((4, 5, 3), np.uint8)


def hand():
    zeros = {
        'joints': (21, 3),
        'vertices': (778, 3),
        'global_orient': (3, 3),
        'hand_pose': (15, 3, 3),
        'betas': (10,),
        'K': (3, 3),
    }
    arrays = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    return HandResult(**arrays, faces=np.zeros((1, 3), int), hand_model='standin', image=IMAGE)


RESULTS = {
    'instance': InstanceResult(
        np.ones((1, 4), np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int64),
        [{'size': [4, 5], 'counts': b'0'}],
        ('a',),
        category_ids=(7,),
    ),
    'semantic': SemanticResult(np.zeros((4, 5), np.int64), ('a',)),
    'hand': hand(),
    'hands': HandsResult([hand()], IMAGE, (0.5,)),
}


def fits(kind, value):
    if isinstance(kind, dict):
        return all(fits(kind[name], one) for name, one in value.items())
    if isinstance(kind, list):
        return all(fits(kind[0], one) for one in value)
    return type(value) is kind


@pytest.mark.parametrize('name', RESULTS)
def test_every_field_has_its_type(name):
    result = RESULTS[name]
    result.weights = {'file': 'a.pth', 'licence': 'MIT'}
    record = {'image': 'a.jpg', 'file_name': 'a.jpg', 'height': 4, 'width': 5, **result.to_dict()}
    types = column_types(record)
    assert list(types) == list(record)
    for field, value in record.items():
        assert fits(types[field], value), field


def test_fields_of_other_tasks_have_none():
    assert column_types({'task': 'depth', 'depth': [[1.0]]}) == {'task': str, 'depth': None}
    assert column_types({'task': ['x']}) == {'task': str}
