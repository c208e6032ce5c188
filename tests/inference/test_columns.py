"""Columns of pictures in, columns of predictions out; a bad picture is a row of its own."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from fastvit_dense import BatchPredictor, load_model
from fastvit_dense.errors import ConfigError
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def predictors(request):
    """`predictors(task)`: of a checkpoint, not folded, made on first use."""
    made = {}

    def get(task):
        if task not in made:
            config = request.getfixturevalue(f'tiny_{task}')
            names = {'instance': 'trained', 'semantic': 'trained_semantic', 'hand': 'random_hand'}
            made[task] = BatchPredictor(config, request.getfixturevalue(names[task]), fuse=False)
        return made[task]

    return get


def encoded(picture, kind='PNG'):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize('task', ['instance', 'semantic', 'hand'])
def test_rows_are_the_results(predictors, task, photo, tmp_path):
    """Paths and bytes in one batch; the other columns go through, bytes do not."""
    predictor = predictors(task)
    paths = [str(tmp_path / name) for name in ('a.png', 'b.png', 'c.png')]
    pictures = [photo, photo[:100], photo[::-1].copy()]
    for path, picture in zip(paths[:2], pictures, strict=False):
        Image.fromarray(picture).save(path)
    batch = {
        'path': np.array(paths),
        'bytes': np.array([None, None, encoded(pictures[2])], dtype=object),
        'camera': np.array([3, 1, 2]),
    }
    found = predictor(batch)
    names = ['path', 'camera', 'height', 'width', 'error', 'prediction']
    assert list(found) == names + ['labels'] * (task == 'semantic')
    assert found['error'].tolist() == ['', '', '']
    assert found['camera'] is batch['camera']
    assert (found['height'].dtype, found['height'].tolist()) == (np.int64, [151, 100, 151])
    for row, picture in enumerate(pictures):
        result = predictor.predictor(picture)
        record = json.loads(found['prediction'][row])
        assert record.keys() == result.to_dict().keys()
        if task == 'instance':
            scores = [one['score'] for one in record['instances']]
            np.testing.assert_allclose(scores, result.scores, atol=1e-5)
        elif task == 'hand':
            np.testing.assert_allclose(record['vertices'], result.vertices, atol=1e-5)
        else:
            labels = np.asarray(Image.open(io.BytesIO(found['labels'][row])))
            assert (labels == result.labels).mean() > 0.999


def test_bad_pictures_fail_no_other(predictors, photo, tmp_path):
    """Each kind of nonsense is one line of its own row, and columns keep their types."""
    predictor = predictors('semantic')
    (tmp_path / 'text.jpg').write_text('no picture')
    (tmp_path / 'folder.png').mkdir()
    good = encoded(photo[:64, :64])
    rows = [
        ('good.png', good),
        (str(tmp_path / 'none.jpg'), None),
        (str(tmp_path / 'text.jpg'), None),
        (str(tmp_path / 'folder.png'), None),
        ('cut.png', good[:200]),
        ('empty.png', b''),
        ('nul\0byte.jpg', None),
        ('x' * 5000, None),
        ('http://127.0.0.1:1/refused.jpg', None),
        (None, None),
        (float('nan'), float('nan')),
        (7, None),
        (b'bytes.jpg', None),
        ('again.png', memoryview(good)),
    ]
    batch = {
        name: np.array([row[place] for row in rows] + [None], dtype=object)[:-1]
        for place, name in enumerate(('path', 'bytes'))
    }
    found = predictor(batch)
    fine = [place for place, error in enumerate(found['error']) if not error]
    assert fine == [0, len(rows) - 1]
    assert all(found['prediction'][place] for place in fine)
    for place in set(range(len(rows))) - set(fine):
        error = found['error'][place]
        assert error, rows[place]
        assert '\n' not in error
        assert (found['prediction'][place], found['labels'][place]) == ('', b'')
        assert found['height'][place] == found['width'][place] == 0
    assert found['error'][1].startswith(f'{tmp_path}/none.jpg: ')
    assert found['error'][4].startswith('cut.png: ')
    assert found['error'][9].startswith('row 9: ')
    alone = {name: column[1:2] for name, column in batch.items()}
    assert [column.dtype for column in list(predictor(alone).values())[1:]] == [
        column.dtype for column in list(found.values())[1:]
    ]


def test_batches_without_rows_or_pictures(predictors):
    predictor = predictors('semantic')
    empty = predictor({'path': np.array([], dtype=object)})
    assert {name: len(column) for name, column in empty.items()} == dict.fromkeys(empty, 0)
    with raises_naming(ConfigError, 'batch', "'path'", "'bytes'", "['image']"):
        predictor({'image': ['a.jpg']})
    with raises_naming(ConfigError, 'batch', 'one length', "'path': 2", "'bytes': 1"):
        predictor({'path': ['a', 'b'], 'bytes': [b'']})


def test_scores_below_are_left_out(tiny_instance, trained, photo):
    predictor = BatchPredictor(tiny_instance, trained, score_thr=0.2)
    (text,) = predictor({'bytes': [encoded(photo)]})['prediction']
    expected = load_model(tiny_instance, trained)(photo).above(0.2)
    assert len(json.loads(text)['instances']) == len(expected)
