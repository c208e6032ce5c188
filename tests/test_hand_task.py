"""The 3D hand from one end to the other: trained, tested, scored, predicted."""

import json
import re

import cv2
import numpy as np
import pytest
import torch

from fastvit_dense import load_model
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.datasets.freihand import FreiHAND
from fastvit_dense.engine.prediction import predict
from fastvit_dense.engine.scoring import score_predictions
from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train
from fastvit_dense.errors import ConfigError
from fastvit_dense.evaluation import evaluate_hand
from fastvit_dense.hand import Mano, standin_mano
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration
CONFIGS = ('handmesh_fastvit_t8', 'handmesh_token_fastvit_t8')
STANDIN = (
    "_base_ = '{root}/configs/{name}.py'\nmodel = dict(mano=dict(_delete_=True, standin=True))\n"
)
SIZE = 64


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


@pytest.fixture(scope='module')
def options(hand_tree):
    """What makes the recipe short: a few small pictures."""
    changes = {
        'model.backbone.init_cfg': None,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'train_dataloader.batch_size': 4,
        'train_dataloader.dataset.versions': ('hom',),
        'train_dataloader.dataset.pipeline.2.size': SIZE,
        'val_dataloader.dataset.pipeline.1.size': SIZE,
        'test_dataloader.dataset.pipeline.1.size': SIZE,
        'test_dataloader.batch_size': 3,  # of four: the last batch is not full
    }
    for split in ('train', 'val', 'test'):
        changes |= {
            f'{split}_dataloader.dataset.data_root': str(hand_tree),
            f'{split}_dataloader.dataset.mano': 'standin',
            f'{split}_dataloader.dataset.portion': 'all',
            f'{split}_dataloader.num_workers': 0,
            f'{split}_dataloader.persistent_workers': False,
        }
    return [f'{name}={value}' for name, value in changes.items()]


@pytest.fixture(scope='module')
def configs(root_dir, tmp_path_factory):
    """Config files of both heads with the stand-in hand, as a user without MANO writes them."""
    folder = tmp_path_factory.mktemp('configs')
    for name in CONFIGS:
        (folder / f'{name}.py').write_text(STANDIN.format(root=root_dir, name=name))
    return folder


@pytest.fixture(scope='module', params=CONFIGS)
def run(request, configs, options, tmp_path_factory, root_dir, quick_logs):
    """Config file and work dir of a run of three iterations."""
    config, work_dir = str(configs / f'{request.param}.py'), tmp_path_factory.mktemp('run')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root_dir)
        runner = train(config, cfg_options=options, work_dir=str(work_dir))
    assert runner.iter == 3
    return config, work_dir


def test_training_validates_and_keeps_the_best(run):
    _, work_dir = run
    assert (work_dir / 'epoch_1.pth').is_file()
    (best,) = work_dir.glob('best_PA-MPJPE_epoch_1.pth')
    state = load_checkpoint_file(best)['state_dict']
    assert not [name for name in state if 'mano' in name]  # its licence: never in a checkpoint


@pytest.mark.parametrize(
    'run', [CONFIGS[0], pytest.param(CONFIGS[1], marks=pytest.mark.slow)], indirect=True
)
def test_saved_hands_score_what_the_test_scored(run, options, hand_tree, tmp_path):
    """The tool's numbers are those of the arrays in pred.json, scored as FreiHAND does."""
    config, work_dir = run
    arguments = dict(cfg_options=options, work_dir=str(tmp_path))
    evaluate_checkpoint(config, str(work_dir / 'epoch_1.pth'), **arguments)
    report = json.loads((tmp_path / 'report.json').read_text())
    assert (report['task'], report['samples'], report['split']) == ('hand', 4, 'evaluation')
    assert report['protocol']['hand_model'] == 'stand-in, not MANO'
    assert re.fullmatch(r'PA-MPJPE [\d.]+ mm, PA-MPVPE [\d.]+ mm', report['protocol']['mean_pose'])

    saved = tmp_path / 'predictions/pred.json'
    assert score_predictions(config, str(saved), **arguments) == report['metrics']

    joints, vertices = (np.array(points) for points in json.loads(saved.read_text()))
    truth = FreiHAND(str(hand_tree), split='evaluation')
    by_hand = evaluate_hand(
        np.stack([truth[i]['joints'] for i in range(4)]),
        np.stack([truth[i]['vertices'] for i in range(4)]),
        joints,
        vertices,
    )
    assert report['metrics'] == pytest.approx(by_hand, rel=1e-6)
    assert 0 < report['metrics']['PA-MPJPE'] < 50

    evaluate_checkpoint(config, str(work_dir / 'epoch_1.pth'), fuse=True, **arguments)
    fused = json.loads((tmp_path / 'report.json').read_text())
    assert fused['metrics'] == pytest.approx(report['metrics'], rel=1e-3)
    assert fused['protocol']['form'] == 'reparameterized'


def test_predict_writes_mesh_picture_and_numbers(run, options, hand_tree, tmp_path):
    config, work_dir = run
    images, out = hand_tree / 'evaluation/rgb', tmp_path / 'out'
    predict(config, str(work_dir / 'epoch_1.pth'), str(images), str(out), cfg_options=options)
    for image in images.iterdir():
        assert cv2.imread(str(out / f'{image.stem}.png')) is not None
        hand = json.loads((out / f'{image.stem}.json').read_text())
        assert np.shape(hand['vertices']) == (778, 3)
        assert np.shape(hand['joints']) == (21, 3)
        mesh = (out / f'{image.stem}.obj').read_text()
        assert len(re.findall(r'^f ', mesh, re.M)) == 1538


@pytest.mark.parametrize('size', [(1, 1, 3), (37, 61, 3), (224, 10, 3)])
def test_pictures_of_any_size(configs, options, size):
    """The hand's metres are finite, and K refers to the picture as it came."""
    model = load_model(
        load_config(configs / f'{CONFIGS[0]}.py', cfg_options=options, pretrained=False)
    )
    result = model(np.full(size, 128, np.uint8))
    assert np.isfinite(result.vertices).all()
    assert np.isfinite(result.K).all()


def test_a_left_hand_goes_in_and_out_mirrored(configs, options):
    """The model knows right hands: a left one is mirrored for it, and the result mirrored back."""
    cfg = load_config(configs / f'{CONFIGS[0]}.py', cfg_options=options, pretrained=False)
    right = load_model(cfg, device='cpu')
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='RandomHandFlip', prob=1.0))
    left = load_model(cfg, device='cpu')
    left.model.load_state_dict(right.model.state_dict())
    image = np.random.default_rng(0).integers(0, 256, (61, 61, 3), dtype=np.uint8)
    expected, found = right(np.ascontiguousarray(image[:, ::-1])), left(image)
    for name in ('joints', 'vertices'):
        mirrored = getattr(expected, name) * np.float32([-1, 1, 1])
        np.testing.assert_allclose(getattr(found, name), mirrored, atol=1e-6)
    np.testing.assert_allclose(found.K, expected.K, rtol=1e-5)  # its principal point is the middle
    np.testing.assert_array_equal(found.faces, expected.faces[:, ::-1])
    layer = Mano(standin_mano(), side='left')
    arrays = (found.global_orient, found.hand_pose, found.betas)
    again = layer(*(torch.from_numpy(array)[None] for array in arrays)).joints[0].numpy()
    np.testing.assert_allclose(again - again[0], found.joints - found.joints[0], atol=1e-5)


def test_missing_mano_is_explained():
    """Without the licensed file: where to get it, where to put it, what serves meanwhile."""
    cfg = load_config(f'configs/{CONFIGS[0]}.py', pretrained=False)
    with pytest.raises((ConfigError, FileNotFoundError, ValueError)) as error:
        load_model(cfg)
    for words in ('MANO_RIGHT.pkl', 'mano.is.tue.mpg.de', 'standin'):
        assert words in str(error.value)


def test_check_data_counts_the_hands(configs, options):
    cfg = load_config(configs / f'{CONFIGS[0]}.py', cfg_options=options, pretrained=False)
    assert check_config(cfg).errors == []
