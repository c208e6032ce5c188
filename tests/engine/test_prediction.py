"""Predicting pictures and folders of them; no picture is lost."""

import json
import shutil

import pytest
from PIL import Image

from fastvit_dense import engine
from fastvit_dense.errors import ImageError
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(photo, tmp_path):
    """Two pictures of different kinds, a broken one, and a file that is no picture."""
    root = tmp_path / 'pictures'
    root.mkdir()
    Image.fromarray(photo).save(root / 'a.png')
    Image.fromarray(photo[:64]).convert('L').save(root / 'b.JPG', format='JPEG')
    (root / 'broken.jpg').write_bytes((root / 'b.JPG').read_bytes()[:200])
    (root / 'notes.txt').write_text('no picture')
    return root


@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_folder_with_a_broken_picture(request, task, folder, tmp_path, capsys, photo):
    config = request.getfixturevalue(f'tiny_{task}')
    checkpoint = request.getfixturevalue({'instance': 'trained'}.get(task, 'trained_semantic'))
    out = tmp_path / 'out'
    written = engine.predict(config, str(checkpoint), str(folder), str(out), fuse=True)
    assert [path.name for path in written] == ['a.png', 'b.png']
    names = {'a.png', 'a.json', 'b.png', 'b.json'}
    if task == 'semantic':
        names |= {'a_labels.png', 'b_labels.png'}
    assert {path.name for path in out.iterdir()} == names
    with Image.open(out / 'a.png') as picture:
        assert picture.size == photo.shape[1::-1]
    assert json.loads((out / 'b.json').read_text())['task'] == task
    shown = capsys.readouterr().out
    assert 'broken.jpg' in shown
    assert 'notes.txt' not in shown


def test_nothing_to_predict(tiny_instance, trained, folder, tmp_path):
    def predict(images):
        engine.predict(tiny_instance, str(trained), str(images), str(tmp_path / 'out'))

    with raises_naming(ImageError, folder / 'none', 'no such file or folder'):
        predict(folder / 'none')
    empty = tmp_path / 'empty'
    empty.mkdir()
    with raises_naming(ImageError, empty, 'no pictures', '.jpg', '.png'):
        predict(empty)
    shutil.copy(folder / 'broken.jpg', empty)
    with raises_naming(ImageError, empty, 'none of 1 pictures'):
        predict(empty)
    assert not (tmp_path / 'out').exists()


def test_no_picture_is_overwritten(tiny_semantic, trained_semantic, folder, tmp_path):
    """Names that differ after the last dot, or before it, are different pictures."""
    with Image.open(folder / 'a.png') as image:
        image.save(folder / 'a.jpg')
        image.save(folder / 'a.1.png')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    options = (tiny_semantic, str(trained_semantic), str(folder))
    written = engine.predict(*options, str(tmp_path / 'out'))
    assert {path.name for path in written} == {'a_png.png', 'a_jpg.png', 'a.1.png', 'b.png'}
    with raises_naming(ImageError, folder.name, '.png', 'overwritten', '--out-dir'):
        engine.predict(*options, f'{folder}/../{folder.name}')
    assert before == {path: path.read_bytes() for path in folder.iterdir()}
