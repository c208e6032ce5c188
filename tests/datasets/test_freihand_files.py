import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from fastvit_dense.datasets import freihand_files, json_stream
from fastvit_dense.datasets.freihand_files import (
    FIELDS,
    annotation_prefix,
    read_annotations,
    read_predictions,
    write_predictions,
)
from fastvit_dense.errors import DataError, MissingFileError
from tests.facts import raises_naming

COUNT = 5


def make_values(count=COUNT, seed=0):
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(0.5, 0.2, (count, *shape)) for name, shape in FIELDS.items()}
    values['K'][:, 2] = 0, 0, 1
    values['scale'] = abs(values['scale']) + 0.01
    return values


def write_json(folder, values, indent=None):
    for name, array in values.items():
        entries = array.tolist()
        if name == 'mano':
            entries = [[e] for e in entries]
        (folder / f'training_{name}.json').write_text(json.dumps(entries, indent=indent))
    return folder / 'training'


# -------------------------------------------------------------------------- annotations


@pytest.mark.parametrize('indent', [None, 1])
def test_arrays_hold_what_the_files_hold(tmp_path, indent):
    values = make_values()
    arrays = read_annotations(write_json(tmp_path, values, indent), FIELDS)
    assert set(arrays) == set(FIELDS)
    for name, array in arrays.items():
        assert isinstance(array, np.memmap)
        assert array.dtype == np.float32
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, values[name].astype(np.float32))


def test_each_file_is_parsed_once(tmp_path, monkeypatch):
    prefix = write_json(tmp_path, make_values())
    first = {k: np.array(v) for k, v in read_annotations(prefix).items()}
    kept = sorted(p.name for p in (tmp_path / 'training_arrays').iterdir())
    assert len(kept) == 5

    def parse(*_):
        raise AssertionError('parsed again')

    with monkeypatch.context() as patch:
        patch.setattr(freihand_files, 'JsonReader', parse)
        again = read_annotations(tmp_path / 'training_xyz.json')
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])

    other = make_values(seed=1)
    write_json(tmp_path, {'xyz': other['xyz']})
    changed = read_annotations(prefix)
    np.testing.assert_array_equal(changed['xyz'], other['xyz'].astype(np.float32))
    np.testing.assert_array_equal(changed['K'], first['K'])
    assert len(list((tmp_path / 'training_arrays').iterdir())) == 5, 'the old array is gone'


def test_a_damaged_array_is_made_again(tmp_path):
    values = make_values()
    prefix = write_json(tmp_path, values)
    read_annotations(prefix)
    for content in (b'', b'no array', None):
        path = next((tmp_path / 'training_arrays').glob('verts-*.npy'))
        path.write_bytes(path.read_bytes()[:-100] if content is None else content)
        np.testing.assert_array_equal(
            read_annotations(prefix)['verts'], values['verts'].astype(np.float32)
        )


def test_data_that_cannot_be_written_to(tmp_path, monkeypatch):
    """A file stands where the folder of arrays would be: as good as a read-only disk."""
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'training_arrays').write_text('in the way')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    values = make_values()
    prefix = write_json(data, values)
    for _ in range(2):
        arrays = read_annotations(prefix)
        np.testing.assert_array_equal(arrays['xyz'], values['xyz'].astype(np.float32))
    assert len(list((tmp_path / 'cache' / 'fastvit_dense').rglob('*.npy'))) == 5


def test_a_cache_folder_of_ones_own(tmp_path):
    prefix = write_json(tmp_path, make_values())
    read_annotations(prefix, cache_dir=tmp_path / 'elsewhere')
    assert len(list((tmp_path / 'elsewhere').glob('*.npy'))) == 5
    assert not (tmp_path / 'training_arrays').exists()


def test_parsing_holds_one_entry_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, 'CHUNK', 1 << 17)
    count = 100
    mesh = json.dumps(np.random.default_rng(0).normal(0, 0.1, (778, 3)).tolist())
    (tmp_path / 'training_verts.json').write_text('[' + ', '.join([mesh] * count) + ']')
    size = (tmp_path / 'training_verts.json').stat().st_size
    tracemalloc.start()
    arrays = read_annotations(tmp_path / 'training', ())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert arrays['verts'].shape == (count, 778, 3)
    assert size > 5e6
    assert peak < 1.5e6


def damaged(name, index, change):
    def damage(folder):
        path = folder / f'training_{name}.json'
        entries = json.loads(path.read_text())
        entries[index] = change(entries[index])
        path.write_text(json.dumps(entries))

    return damage


def set_nan(entry):
    entry[7][1] = float('nan')
    return entry


def cut(name, keep):
    def damage(folder):
        path = folder / f'training_{name}.json'
        text = path.read_text()
        path.write_text(text[: int(keep * len(text))])

    return damage


@pytest.mark.parametrize(
    ('damage', 'facts'),
    [
        (damaged('verts', 3, set_nan), ['verts of entry 3', 'nan at index [7, 1]']),
        (damaged('xyz', 2, lambda e: e[:20]), ['xyz of entry 2', '21 x 3', '20 x 3']),
        (damaged('xyz', 2, lambda e: [*e[:20], [1, 2]]), ['xyz of entry 2', 'uneven']),
        (damaged('verts', 0, lambda e: 'verts'), ['verts of entry 0', "'verts'"]),
        (damaged('scale', 4, lambda e: -1), ['scale of entry 4', 'above 0', 'found', -1.0]),
        (damaged('scale', 4, lambda e: None), ['scale of entry 4', 'found', None]),
        (damaged('mano', 1, lambda e: [e[0][:60]]), ['mano of entry 1', 61, 'found', 60]),
        (
            damaged('K', 1, lambda e: [[480, 0, 112], [480, 0, 112], [0, 0, 1]]),
            ['K of entry 1', 'invertible', 'singular'],
        ),
        (
            damaged('K', 1, lambda e: [[480, 0, 112], [0, 480, 112], [0, 0, 2]]),
            ['K of entry 1', 'last row 0 0 1', '[0.0, 0.0, 2.0]'],
        ),
        (cut('verts', 0.7), ['training_verts.json', 'entry 3', 'truncated']),
        (cut('xyz', 0), ['training_xyz.json', 'found', 'end of the file']),
    ],
)
def test_bad_annotations(tmp_path, damage, facts):
    prefix = write_json(tmp_path, make_values())
    damage(tmp_path)
    with raises_naming(DataError, tmp_path, *facts):
        read_annotations(prefix)
    bad = facts[0].split()[0].removeprefix('training_').removesuffix('.json')
    left = {p.name for p in (tmp_path / 'training_arrays').iterdir()}
    assert not any(name.startswith((f'{bad}-', '.')) for name in left)


def test_lists_of_unequal_length(tmp_path):
    values = make_values()
    values['verts'] = values['verts'][:3]
    with raises_naming(DataError, tmp_path, 'training_K.json', 5, 'training_verts.json', 3):
        read_annotations(write_json(tmp_path, values))


def test_an_empty_list(tmp_path):
    (tmp_path / 'evaluation_K.json').write_text('[]')
    with raises_naming(DataError, tmp_path / 'evaluation_K.json', 'at least one'):
        read_annotations(tmp_path / 'evaluation', ['K'])


def test_missing_files(tmp_path):
    prefix = write_json(tmp_path, {k: v for k, v in make_values().items() if k in ('K', 'scale')})
    assert set(read_annotations(prefix)) == {'K', 'scale'}
    facts = ['training_xyz.json', 'training_verts.json', 'https://lmb', 'data_root', '--sample']
    with raises_naming(MissingFileError, *facts) as error:
        read_annotations(prefix, FIELDS)
    assert 'training_K.json' not in str(error.value)


def test_any_file_names_the_set():
    for name in ('a/training', 'a/training_xyz.json', 'a/training_K.json'):
        assert str(annotation_prefix(name)) == 'a/training'
    assert str(annotation_prefix('a/my_K')) == 'a/my_K'


# -------------------------------------------------------------------------- predictions


def make_hands(count=4, vertices=778, seed=0):
    rng = np.random.default_rng(seed)
    place = np.array([0.01, -0.02, 0.7])
    return tuple(rng.normal(0, 0.04, (count, n, 3)) + place for n in (21, vertices))


@pytest.mark.parametrize('name', ['pred.json', 'result.zip'])
@pytest.mark.parametrize('vertices', [778, 500])
def test_predictions_there_and_back(tmp_path, name, vertices):
    joints, mesh = make_hands(vertices=vertices)
    path = write_predictions(tmp_path / 'new' / name, iter(joints), (m for m in mesh))
    if name.endswith('.zip'):
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ['pred.json']
            content = json.loads(archive.read('pred.json'))
    else:
        content = json.loads(path.read_text())
    assert len(content) == 2
    for expected, plain, read in zip(
        (joints, mesh), content, read_predictions(path, 4), strict=True
    ):
        np.testing.assert_allclose(plain, expected, atol=0.5001e-6, rtol=0)
        np.testing.assert_array_equal(read, plain)
        assert read.dtype == np.float64
    assert [p.name for p in path.parent.iterdir()] == [name], 'nothing else is left'


def test_reads_full_precision(shared_dir, tmp_path):
    golden = np.load(shared_dir / 'golden' / 'hand' / 'freihand_eval.npz')
    joints, mesh = golden['pred_xyz'].astype(np.float64), golden['pred_verts'].astype(np.float64)
    path = tmp_path / 'pred.json'
    path.write_text(json.dumps([joints.tolist(), mesh.tolist()]))
    read = read_predictions(path, len(joints), golden['gt_xyz'])
    np.testing.assert_array_equal(read[0], joints)
    np.testing.assert_array_equal(read[1], mesh)


def test_no_predictions(tmp_path):
    path = write_predictions(tmp_path / 'pred.json', [], [])
    assert json.loads(path.read_text()) == [[], []]
    joints, mesh = read_predictions(path)
    assert joints.shape == (0, 21, 3)
    assert mesh.shape == (0, 778, 3)


@pytest.mark.parametrize('name', ['pred.json', 'pred.zip'])
def test_predictions_that_are_not_written(tmp_path, name):
    joints, mesh = make_hands()
    bad = mesh.copy()
    bad[2, 5, 0] = np.nan
    path = tmp_path / name
    for args, facts in (
        ((joints, bad), ['vertices of entry 2', 'nan', [5, 0]]),
        ((joints[:3], mesh), [3, 'joints', 4, 'vertices']),
        ((joints[:, :20], mesh), ['joints of entry 0', '21 x 3', '20 x 3']),
        ((joints, [mesh[0], mesh[1][:500]]), ['vertices of entry 1', '778 x 3', '500 x 3']),
    ):
        with raises_naming(DataError, path, *facts):
            write_predictions(path, *args)
        assert not list(tmp_path.iterdir())
    with raises_naming(DataError, tmp_path / 'pred.txt', '.json', '.zip'):
        write_predictions(tmp_path / 'pred.txt', joints, mesh)


def test_predictions_of_the_wrong_length(tmp_path):
    joints, mesh = make_hands(4)
    path = write_predictions(tmp_path / 'pred.json', joints, mesh)
    with raises_naming(DataError, path, 3960, 'joints', 'found', 4):
        read_predictions(path, 3960)
    with raises_naming(DataError, path, 3, 'joints', 'found', 'more'):
        read_predictions(path, 3)
    path.write_text(json.dumps([joints.tolist(), mesh[:3].tolist()]))
    with raises_naming(DataError, path, 4, 'joints', 3, 'vertices'):
        read_predictions(path)


@pytest.mark.parametrize(
    ('content', 'facts'),
    [
        ('', ['start of the file', '"["', 'end of the file']),
        ('[]', ['start of the list of joints', '"["', '"]"']),
        ('[[]]', ['between', 'joints', 'vertices', '","', '"]"']),
        ('[[], [], []]', ['after', 'joints', 'vertices', '"]"', '","']),
        ('[[], []] 1', ['after the predictions', 'end of the file', '"1"']),
        ('[[[[1, 2, 3]]], []]', ['joints of entry 0', '21 x 3', '1 x 3']),
        ('{"xyz": []}', ['"["', '"{"']),
        ('<!DOCTYPE html>\n<html>', ['start of the file', '"["', '"<!DOCTYPE html>']),
        ('version https://git-lfs.github.com', ['"["', '"version https://git-lfs.']),
        ('[[[["1", 2, 3]]], []]', ['joints of entry 0', '21 x 3']),
    ],
)
def test_damaged_predictions(tmp_path, content, facts):
    path = tmp_path / 'pred.json'
    path.write_text(content)
    with raises_naming(DataError, path, *facts):
        read_predictions(path)


def test_damaged_archives(tmp_path):
    joints, mesh = make_hands()
    path = write_predictions(tmp_path / 'pred.zip', joints, mesh)
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(content)
    with raises_naming(DataError, path):
        read_predictions(path)
    path.write_bytes(content[:500])
    with raises_naming(DataError, path, 'archive', 'truncated'):
        read_predictions(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('results/pred.json', '[[], []]')
    with raises_naming(DataError, path, 'pred.json', 'found', 'results/pred.json'):
        read_predictions(path)
    with raises_naming(MissingFileError, tmp_path / 'none.json'):
        read_predictions(tmp_path / 'none.json')


def test_millimetres_are_named(tmp_path):
    joints, mesh = make_hands()
    path = write_predictions(tmp_path / 'pred.json', 1000 * joints, 1000 * mesh)
    with raises_naming(DataError, path, 'joints', 'metres', 'millimetres'):
        read_predictions(path)
    with raises_naming(DataError, path, 'joints', 'metres', 'millimetres'):
        read_predictions(path, reference=joints)
    path = write_predictions(tmp_path / 'pred.json', joints, 1000 * mesh)
    with raises_naming(DataError, path, 'vertices', 'metres', 'millimetres'):
        read_predictions(path, reference=joints)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    joints, mesh = make_hands()
    path = write_predictions(tmp_path / 'pred.json', joints, mesh)
    text = '\ufeff' + path.read_text()
    path.write_text(text, encoding='utf-8')
    np.testing.assert_allclose(read_predictions(path)[0], joints, rtol=1e-7)
    with zipfile.ZipFile(tmp_path / 'pred.zip', 'w') as archive:
        archive.writestr('pred.json', text)
    np.testing.assert_allclose(read_predictions(tmp_path / 'pred.zip')[0], joints, rtol=1e-7)
    values = make_values()
    write_json(tmp_path, values)
    for file in tmp_path.glob('*_K.json'):
        file.write_text('\ufeff' + file.read_text(), encoding='utf-8')
        np.testing.assert_allclose(read_annotations(file)['K'], values['K'], rtol=1e-6)


@pytest.mark.parametrize('value', [1e13, -1e39, 1e300, 10**400])
@pytest.mark.parametrize('field', FIELDS)
@pytest.mark.filterwarnings('error')
def test_numbers_that_no_hand_has(tmp_path, field, value):
    """Beyond float32, or so large that their squares are: named before they become infinite."""
    values = make_values()
    prefix = write_json(tmp_path, values)
    path = tmp_path / f'training_{field}.json'
    entries = values[field].tolist()
    text = json.dumps(entries).replace(json.dumps(values[field].flat[0]), str(value), 1)
    path.write_text(text)
    with raises_naming(DataError, path, f'{field} of entry 0', 'expected', 'found'):
        read_annotations(prefix)
