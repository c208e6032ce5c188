"""The types of what `to_dict` gives, for files with typed columns."""

from typing import Any

# A type is str, int, float or bool; [type] is a list of it, a dict a record. By the field `task`.
_HAND = {
    'hand_model': str,
    'joints': [[float]],
    'vertices': [[float]],
    'global_orient': [[float]],
    'hand_pose': [[[float]]],
    'betas': [float],
    'K': [[float]],
    'weights': {'file': str, 'licence': str},
}
_TYPES: dict[str, dict[str, Any]] = {
    'instance': {
        'instances': [
            {
                'bbox': [float],
                'score': float,
                'label': int,
                'class': str,
                'category_id': int,
                'segmentation': {'size': [int], 'counts': str},
            }
        ],
    },
    'semantic': {
        'size': [int],
        'classes': [{'label': int, 'class': str, 'share': float}],
    },
    'hand': _HAND,
    'hands': {'hands': [{'task': str, **_HAND, 'is_right': bool, 'score': float}]},
}
_OF_ALL = {
    'image': str,
    'file_name': str,
    'height': int,
    'width': int,
    'task': str,
    'weights': {'file': str, 'licence': str},
}


def column_types(record: dict[str, Any]) -> dict[str, Any]:
    """The type of each field of a record that `predict` writes; None where it is not known."""
    known = _OF_ALL | _TYPES.get(str(record.get('task')), {})
    return {name: known.get(name) for name in record}
