"""What the page shows of a picture, without the page."""

import json

import numpy as np
import pytest
from PIL import Image

from fastvit_dense import load_model
from fastvit_dense.checkpoints.published import OF_CONFIG
from fastvit_dense.errors import ConfigError, ImageError
from fastvit_dense.inference import showing
from fastvit_dense.inference.timing import PARTS
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def showroom(trained, trained_semantic):
    return showing.Showroom([str(trained), str(trained_semantic)], 'cpu')


@pytest.fixture(scope='module')
def picture(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp('upload') / 'photo.png'
    Image.fromarray(photo).save(path)
    return path


def test_objects_from_a_score_on(showroom, trained, picture):
    expected = load_model(trained, device='cpu')(picture)
    score = float(np.median(expected.scores))
    answer = showroom(picture, trained.name, score)
    content = json.loads(answer.data)
    assert (
        content['instances'] == json.loads(json.dumps(expected.above(score).to_dict()))['instances']
    )
    assert 0 < len(content['instances']) < len(expected)
    assert f'{len(content["instances"])} objects' in answer.told
    assert (content['width'], content['height']) == answer.overlay.size == (203, 151)
    drawn = np.asarray(expected.above(score).draw().convert('RGB'))
    np.testing.assert_array_equal(np.asarray(answer.overlay), drawn)
    assert [part for part, _ in answer.times] == list(PARTS)
    assert all(seconds > 0 for _, seconds in answer.times)
    assert set(content['milliseconds']) == set(PARTS)


def test_models_without_scores(showroom, trained_semantic, picture):
    answer = showroom(picture, trained_semantic.name, 0.9)
    assert json.loads(answer.data)['task'] == 'semantic'
    assert 'objects' not in answer.told


def test_models_are_those_named_at_the_start(showroom, trained, picture, tmp_path):
    assert showroom.names == [trained.name, 'iter_4.pth', *OF_CONFIG]
    for name in (str(trained), '../epoch_1.pth', '/etc/passwd', '', None, ['epoch_1.pth']):
        with raises_naming(ConfigError, 'model: expected one of', trained.name):
            showroom(picture, name)
    with raises_naming(ConfigError, 'maskrcnn_fastvit_t8', 'expected a checkpoint'):
        showing.Showroom(['maskrcnn_fastvit_t8'])
    with raises_naming(ConfigError, 'none.pth', 'no such file'):
        showing.Showroom([str(tmp_path / 'none.pth')])
    with raises_naming(ConfigError, 'score'):
        showroom(picture, trained.name, float('nan'))


def test_files_that_are_no_pictures(showroom, trained, picture, tmp_path):
    """Told by their name, without the folder in which the server keeps them."""

    def refused(name, content, *words):
        path = tmp_path / name
        path.write_bytes(content)
        with raises_naming(ImageError, name, *words) as raised:
            showroom(path, trained.name)
        assert str(tmp_path) not in str(raised.value)

    refused('a.svg', b'<svg/>', 'expected a picture')
    refused('b', picture.read_bytes(), 'found none of these suffixes')
    refused('a.jpg', b'no picture', 'cannot be read')
    refused('b.png', picture.read_bytes()[:2000], 'truncated')
    refused('c.png', bytes(showing.MAX_BYTES + 1), '20 MB')
    Image.new('1', (10_000, 6_000)).save(tmp_path / 'large.png')
    refused('d.png', (tmp_path / 'large.png').read_bytes(), 'megapixels', '60.0')
    Image.new('1', (7100, 7100)).save(tmp_path / 'large.png')
    refused('e.png', (tmp_path / 'large.png').read_bytes(), 'at most 50 megapixels', 'found 50.4')
