"""MANO arrays as npz files: written whole, read without unpickling, told from other archives."""

import dataclasses
import os
import zipfile

import numpy as np
import pytest

from fastvit_dense.errors import ManoFileError
from fastvit_dense.hand import read_mano, save_npz, standin_mano
from fastvit_dense.hand.mano import ARRAY_SHAPES
from tests.facts import raises_naming

from .test_mano_io import Bomb, assert_same


@pytest.fixture(scope='module')
def model():
    return standin_mano()


def test_npz_round_trip_keeps_everything(model, tmp_path):
    save_npz(model, tmp_path / 'hand.npz')
    found = read_mano(tmp_path / 'hand.npz')
    assert_same(found, model)
    assert found.is_standin
    assert found.name == model.name
    assert found.release is None
    with raises_naming(ManoFileError, tmp_path / 'hand.npy', '.npz'):
        save_npz(model, tmp_path / 'hand.npy')


def test_an_interruption_leaves_the_former_npz(model, tmp_path, monkeypatch):
    path = tmp_path / 'hand.npz'
    save_npz(model, path)
    before = path.read_bytes()

    def interrupted(file, **_):
        file.write_bytes(before[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(np, 'savez_compressed', interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_npz(model, path)
    assert [file.name for file in tmp_path.iterdir()] == ['hand.npz']
    assert path.read_bytes() == before


def test_npz_never_unpickles(model, tmp_path):
    marker = tmp_path / 'ran'
    path = tmp_path / 'M.npz'
    arrays = {name: getattr(model, name) for name in ARRAY_SHAPES}
    arrays['J'] = np.array([Bomb(os.mkdir, str(marker))], dtype=object)
    np.savez(path, **arrays)
    with raises_naming(ManoFileError, path, 'MANO npz'):
        read_mano(path)
    assert not marker.exists()
    path.write_bytes(path.read_bytes()[:1000])
    with raises_naming(ManoFileError, path, 'MANO npz'):
        read_mano(path)


def test_archives_are_known_by_their_content(model, tmp_path):
    save_npz(model, tmp_path / 'M.npz')
    (tmp_path / 'M.npz').rename(tmp_path / 'M.pkl')
    np.testing.assert_array_equal(read_mano(tmp_path / 'M.pkl').J, model.J)
    with zipfile.ZipFile(tmp_path / 'mano_v1_2.zip', 'w') as archive:
        archive.writestr('mano_v1_2/models/MANO_RIGHT.pkl', b'...')
    with raises_naming(ManoFileError, 'mano_v1_2.zip', 'missing', 'found', 'models/MANO_RIGHT.pkl'):
        read_mano(tmp_path / 'mano_v1_2.zip')


def test_millimetres_are_named(model, tmp_path):
    names = ('v_template', 'J', 'shapedirs', 'posedirs')
    large = dataclasses.replace(model, **{name: 1000 * getattr(model, name) for name in names})
    save_npz(large, tmp_path / 'M.npz')
    with raises_naming(ManoFileError, tmp_path / 'M.npz', 'v_template', 'millimetres', 'by 1000'):
        read_mano(tmp_path / 'M.npz')


def test_damaged_npz_name_the_file(model, tmp_path):
    path = tmp_path / 'M.npz'
    with path.open('wb') as file:
        np.save(file, model.J)  # one array, under the wrong name
    with raises_naming(ManoFileError, path, 'MANO npz'):
        read_mano(path)
    save_npz(model, path)
    content = bytearray(path.read_bytes())
    content[500:540] = bytes(40)  # within the first compressed array
    path.write_bytes(content)
    with raises_naming(ManoFileError, path, 'MANO npz'):
        read_mano(path)
