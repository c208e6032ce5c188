"""Results are saved by the suffix of the file, whole or not at all."""

import json

import pytest
from PIL import Image

from fastvit_dense.errors import PredictionError
from tests.facts import raises_naming


@pytest.mark.parametrize('suffix', ['json', 'png', 'jpg', 'JPG'])
def test_saved_by_the_suffix(instances, tmp_path, suffix):
    """The folder is made; a dot within the name is part of it."""
    path = instances[0].save(tmp_path / 'new' / f'photo.v2.{suffix}')
    assert path == tmp_path / 'new' / f'photo.v2.{suffix}'
    if suffix == 'json':
        assert json.loads(path.read_text()) == instances[0].to_dict()
    else:
        with Image.open(path) as picture:
            assert picture.size == (160, 120)


def test_other_suffixes_are_refused(instances, tmp_path):
    path = tmp_path / 'photo.gif'
    with raises_naming(PredictionError, path, '.json', '.png', '.jpg'):
        instances[0].save(str(path))
    assert not path.exists()


def test_an_interruption_leaves_the_former_file(instances, tmp_path, monkeypatch):
    path = instances[0].save(tmp_path / 'photo.json')
    before = path.read_text()

    def interrupted(path, text):
        path.write_bytes(text[:9].encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), 'write_text', interrupted)
    with pytest.raises(KeyboardInterrupt):
        instances[0].save(path)
    assert [file.name for file in tmp_path.iterdir()] == ['photo.json']
    assert path.read_text() == before
