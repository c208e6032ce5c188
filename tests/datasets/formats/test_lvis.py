"""The reader of LVIS's annotation files: what mmdet asks of it."""

import json

import pytest

from fastvit_dense.datasets.formats.lvis import LVIS
from fastvit_dense.errors import DataError


def lvis_content():
    """Two images, the second without objects, and categories out of order."""
    image = {'height': 20, 'width': 30, 'coco_url': 'http://host/val2017/000000000007.jpg'}
    box = {'bbox': [0, 0, 5, 5], 'area': 25, 'segmentation': [[0, 0, 5, 0, 5, 5]]}
    return {
        'images': [{'id': 7, **image}, {'id': 3, **image}],
        'categories': [{'id': 9, 'name': 'cup'}, {'id': 4, 'name': 'bowl'}],
        'annotations': [
            {'id': 1, 'image_id': 7, 'category_id': 9, **box},
            {'id': 2, 'image_id': 7, 'category_id': 9, **box},
            {'id': 5, 'image_id': 7, 'category_id': 4, **box},
        ],
    }


def test_it_is_indexed_by_image_and_category(tmp_path):
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(lvis_content()))
    lvis = LVIS(str(path))
    assert lvis.get_cat_ids() == [4, 9]
    assert lvis.get_img_ids() == [7, 3]
    assert lvis.get_ann_ids([7]) == [1, 2, 5]
    assert lvis.get_ann_ids([3]) == []
    assert lvis.cat_img_map[9] == [7, 7]
    assert [a['category_id'] for a in lvis.load_anns([5, 1])] == [4, 9]
    assert lvis.load_imgs([3])[0]['id'] == 3
    assert lvis.cats[4]['name'] == 'bowl'


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / 'lvis.json'
    path.write_text('{"images": [')
    with pytest.raises(DataError, match=r'lvis\.json'):
        LVIS(str(path))
