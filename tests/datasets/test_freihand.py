import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from fastvit_dense.datasets.freihand import VERSIONS, FreiHAND, decode_mano, portion_indices
from fastvit_dense.errors import ConfigError, DataError, MissingFileError
from fastvit_dense.hand import Mano, standin_mano
from tests.facts import raises_naming

COUNT = 12
CONFIG = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'freihand.py'


def read(tree, split, field):
    return np.array(json.loads((tree / f'{split}_{field}.json').read_text()))


def test_every_image_with_its_annotation(hand_tree):
    dataset = FreiHAND(hand_tree, mano='standin')
    assert len(dataset) == 4 * COUNT
    values = {field: read(hand_tree, 'training', field) for field in ('K', 'xyz', 'verts', 'scale')}
    for index in range(len(dataset)):
        sample = dataset[index]
        number = sample['img_id']
        annotation = number % COUNT
        assert number == index
        assert sample['annotation'] == annotation
        assert sample['version'] == VERSIONS[number // COUNT]
        assert sample['img_path'] == str(hand_tree / 'training' / 'rgb' / f'{number:08d}.jpg')
        assert ('mask_path' in sample) == (sample['version'] == 'gs')
        assert sample['is_right']
        for field, name in (('K', 'K'), ('xyz', 'joints'), ('verts', 'vertices')):
            assert sample[name].dtype == np.float32
            np.testing.assert_array_equal(
                sample[name], values[field][annotation].astype(np.float32)
            )
        assert sample['scale'] == pytest.approx(values['scale'][annotation])
        assert sample['global_orient'].shape == (3, 3)
        assert sample['hand_pose'].shape == (15, 3, 3)
        assert sample['betas'].shape == (10,)


def test_a_sample_is_a_copy(hand_tree):
    dataset = FreiHAND(hand_tree)
    dataset[0]['joints'][:] = 0
    assert np.abs(dataset[0]['joints']).min() > 0


def test_mano_numbers_mean_what_freihand_says(hand_tree):
    """All 61: the mesh of the decoded pose and shape, put where [58:61] say, is `verts`."""
    model = standin_mano()
    mano = Mano(model)
    dataset = FreiHAND(hand_tree, split='evaluation', mano='standin')
    for index, values in enumerate(read(hand_tree, 'evaluation', 'mano')):
        assert values.shape == (1, 61)
        sample = dataset[index]
        parts = [torch.from_numpy(sample[n])[None] for n in ('global_orient', 'hand_pose', 'betas')]
        with torch.no_grad():
            output = mano(*parts)
        K = sample['K'].astype(np.float64)
        focal = (K[0, 0] + K[1, 1]) / 2
        root = np.append(values[0, 58:60] - K[:2, 2], focal) / values[0, 60]
        shift = root - output.joints[0, 9].numpy()
        np.testing.assert_allclose(output.joints[0].numpy() + shift, sample['joints'], atol=2e-5)
        np.testing.assert_allclose(
            output.vertices[0].numpy() + shift, sample['vertices'], atol=2e-5
        )


def test_decoding_in_closed_form():
    values = np.zeros(61)
    values[2] = np.pi / 2
    values[48:58] = np.arange(10)
    decoded = decode_mano(values)
    np.testing.assert_allclose(decoded['global_orient'], [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
                               atol=1e-6)  # fmt: skip
    np.testing.assert_array_equal(decoded['betas'], np.arange(10))
    assert 'hand_pose' not in decoded
    model = standin_mano()
    values[3:48] = -model.hands_mean
    np.testing.assert_allclose(
        decode_mano(values, model)['hand_pose'], np.tile(np.eye(3), (15, 1, 1)), atol=1e-6
    )


def test_versions(hand_tree):
    dataset = FreiHAND(hand_tree, versions=('auto', 'gs'))
    assert [dataset[i]['img_id'] for i in (0, COUNT - 1, COUNT)] == [3 * COUNT, 4 * COUNT - 1, 0]
    assert len(FreiHAND(hand_tree, versions='hom')) == COUNT
    with raises_naming(ConfigError, 'FreiHAND', 'versions', *VERSIONS, 'found', 'green'):
        FreiHAND(hand_tree, versions=('green',))
    with raises_naming(ConfigError, 'FreiHAND', 'split', 'training', 'evaluation', 'test'):
        FreiHAND(hand_tree, split='test')


@pytest.mark.parametrize('count', [11, 400, 32560])
def test_portions_share_out_the_annotations_by_blocks(count):
    train, val = portion_indices(count, 'train'), portion_indices(count, 'val')
    assert sorted(train + val) == portion_indices(count, 'all') == list(range(count))
    assert len(val) / count == pytest.approx(0.05, abs=0.05 if count == 11 else 1e-3)
    runs = np.split(np.array(val), np.flatnonzero(np.diff(val) > 1) + 1)
    if count == 32560:
        assert {len(run) for run in runs} <= {162, 163}
        assert len(runs) == 10


def test_no_annotation_is_in_both_portions(hand_tree):
    parts = {p: FreiHAND(hand_tree, portion=p) for p in ('train', 'val')}
    used = {p: {d[i]['annotation'] for i in range(len(d))} for p, d in parts.items()}
    assert used['val'] == {10}
    assert used['train'] == set(range(COUNT)) - {10}
    assert len(parts['train']) == 4 * 11


def test_an_empty_portion(hand_copy):
    for field in ('K', 'scale', 'xyz', 'verts', 'mano'):
        path = hand_copy / f'training_{field}.json'
        path.write_text(json.dumps(json.loads(path.read_text())[:5]))
    with raises_naming(DataError, hand_copy / 'training', 'val', 'none', 5):
        FreiHAND(hand_copy, portion='val')


def test_evaluation_without_public_annotations(hand_copy):
    for field in ('xyz', 'verts', 'mano'):
        (hand_copy / f'evaluation_{field}.json').unlink()
    dataset = FreiHAND(hand_copy, split='evaluation', test_mode=True)
    assert len(dataset) == 4
    assert {'K', 'scale', 'img_path'} <= set(dataset[0])
    assert not {'joints', 'vertices', 'global_orient'} & set(dataset[0])


def test_what_is_known_without_images(hand_copy):
    import shutil

    shutil.rmtree(hand_copy / 'evaluation')
    settings = {'data_root': hand_copy, 'split': 'evaluation', 'lazy_init': True}
    dataset = FreiHAND(**settings, mano='there/is/no/such/file.pkl')
    assert dataset.image_numbers() == [0, 1, 2, 3]
    known = FreiHAND(**settings).describe(2)
    np.testing.assert_allclose(known['joints'], read(hand_copy, 'evaluation', 'xyz')[2], atol=1e-7)
    np.testing.assert_allclose(
        known['vertices'], read(hand_copy, 'evaluation', 'verts')[2], atol=1e-7
    )
    for indices, expected in ((2, [0, 1]), (-1, [3]), ([2, 0], [2, 0])):
        assert FreiHAND(**settings, indices=indices).image_numbers() == expected


@pytest.mark.parametrize('indices', [None, 3, -5, [3, 20, 7]])
def test_numbers_are_in_the_order_of_the_samples(hand_tree, indices):
    dataset = FreiHAND(hand_tree, versions=('auto', 'hom'), portion='train', indices=indices)
    numbers = dataset.image_numbers()
    assert numbers == [dataset[i]['img_id'] for i in range(len(dataset))]
    assert len(numbers) == len(dataset)


def test_a_missing_mano_file(hand_tree, tmp_path):
    path = tmp_path / 'MANO_RIGHT.pkl'
    with raises_naming(MissingFileError, path):
        FreiHAND(hand_tree, mano=str(path))


def test_missing_images(hand_copy):
    (hand_copy / 'training' / 'rgb' / '00000030.jpg').unlink()
    (hand_copy / 'training' / 'rgb' / '00000047.jpg').unlink()
    with raises_naming(MissingFileError, '00000030.jpg', 6, 'sample', 2, 48):
        FreiHAND(hand_copy)
    assert len(FreiHAND(hand_copy, versions=('gs', 'hom'))) == 24


def test_what_there_is_instead_of_missing_images(hand_copy):
    folder = hand_copy / 'training' / 'rgb'
    for number in range(12, 48):
        (folder / f'{number:08d}.jpg').unlink()
    with raises_naming(MissingFileError, 36, 48, 'all images of gs', "versions=('gs',)"):
        FreiHAND(hand_copy)
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(f'{int(path.stem)}.jpg'))
    with raises_naming(MissingFileError, '00000000.jpg', 'the folder holds', '0.jpg', '1.jpg'):
        FreiHAND(hand_copy)
    folder.rename(hand_copy / 'pictures')
    with raises_naming(MissingFileError, '00000000.jpg', folder, 'no folder'):
        FreiHAND(hand_copy)


@pytest.mark.parametrize('setting', [{'versions': 3}, {'mano': True}])
def test_settings_of_another_type(hand_tree, setting):
    ((name, value),) = setting.items()
    with raises_naming(ConfigError, f'FreiHAND: {name}', 'expected', 'found', value):
        FreiHAND(hand_tree, **setting)


def test_a_missing_dataset(tmp_path):
    with raises_naming(MissingFileError, 'nowhere/training_K.json', 'https://lmb', '--sample'):
        FreiHAND(tmp_path / 'nowhere')


def test_other_places(hand_copy, tmp_path):
    """Folders and files can be pointed anywhere, as mm's options do."""
    (hand_copy / 'training' / 'rgb').rename(tmp_path / 'pictures')
    (tmp_path / 'annotations').mkdir()
    for field in ('K', 'scale', 'xyz', 'verts', 'mano'):
        (hand_copy / f'training_{field}.json').rename(tmp_path / f'annotations/my_{field}.json')
    for ann_file in ('../annotations/my', str(tmp_path / 'annotations' / 'my_xyz.json')):
        dataset = FreiHAND(
            hand_copy, ann_file=ann_file, data_prefix={'img': str(tmp_path / 'pictures')}
        )
        assert dataset[5]['img_path'] == str(tmp_path / 'pictures' / '00000005.jpg')
        assert 'mask_path' in dataset[5]


def test_workers_map_the_arrays_themselves(hand_tree):
    dataset = FreiHAND(hand_tree)
    content = pickle.dumps(dataset)
    assert len(content) < 20_000
    again = pickle.loads(content)
    np.testing.assert_array_equal(again[7]['vertices'], dataset[7]['vertices'])


def test_through_the_config(hand_tree):
    cfg = Config.fromfile(CONFIG)
    for name, size in (('train', 4 * 11), ('val', 1), ('test', 4)):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.update(data_root=str(hand_tree), mano='standin')
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == size
        packed = dataset[size - 1]
        assert packed['inputs'].shape == (3, 224, 224)
        hand = packed['data_samples'].gt_hand
        assert hand.vertices.shape == (778, 3)
        assert hand.hand_pose.shape == (15, 3, 3)
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'HandMetric'
