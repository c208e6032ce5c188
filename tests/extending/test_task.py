"""A fourth task from outside the package: depth, from training to pictures of predictions."""

import json

import numpy as np
import pytest
from PIL import Image

from fastvit_dense import load_model
from fastvit_dense.engine import evaluate_checkpoint, predict, train

SIZE = 64
EPOCHS = 20  # the page trains for 40


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """Ten pictures in which brightness falls with depth, and their depths in metres."""
    folder = tmp_path_factory.mktemp('depth')
    rng = np.random.default_rng(0)
    for number in range(10):
        corners = rng.uniform(1, 5, (2, 2)).astype(np.float32)
        depth = np.asarray(Image.fromarray(corners).resize((SIZE, SIZE), Image.BILINEAR))
        grey = (255 * np.exp(-depth / 3)).astype(np.uint8)
        Image.fromarray(grey).convert('RGB').save(folder / f'{number}.png')
        np.save(folder / f'{number}.npy', depth)
    return folder


@pytest.fixture(scope='module')
def trained(extensions, pictures, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('run')
    checkpoints = 'default_hooks.checkpoint'
    settings = ('train_cfg.max_epochs', 'train_cfg.val_interval', f'{checkpoints}.interval')
    options = [f'{checkpoints}.type=CheckpointHook', *(f'{name}={EPOCHS}' for name in settings)]
    options += [
        f'{loader}_dataloader.dataset.data_root={pictures}' for loader in ('train', 'val', 'test')
    ]
    config = extensions / 'depth_t8.py'
    train(config, work_dir=str(work_dir), cfg_options=options)
    return config, options, work_dir


def test_training_learns_depth_and_the_report_shows_it(trained, pictures):
    config, options, work_dir = trained
    status = evaluate_checkpoint(
        config, str(work_dir / f'epoch_{EPOCHS}.pth'), cfg_options=options, work_dir=str(work_dir)
    )
    assert status == 0
    report = json.loads((work_dir / 'report.json').read_text())
    assert report['task'] == 'depth'
    assert report['samples'] == 10
    assert report['reference'] == []

    # the same number by hand, from the files alone
    found = np.load(work_dir / 'predictions/depth.npz')
    truth = {str(path): np.load(path.with_suffix('.npy')) for path in pictures.glob('*.png')}
    assert set(found) == set(truth)
    squares = [(found[name] - truth[name]) ** 2 for name in truth]
    assert report['metrics'] == {'RMSE': pytest.approx(float(np.sqrt(np.mean(squares))))}
    # better than the best constant
    spread = float(np.std(np.stack(list(truth.values()))))
    assert report['metrics']['RMSE'] < spread

    page = (work_dir / 'report.html').read_text()
    assert 'root mean square error' in page
    assert 'Depth' in page
    drawn = sorted((work_dir / 'pictures').glob('*.png'))
    assert len(drawn) == 8  # two of the best and the median, four of the worst
    with Image.open(drawn[0]) as picture:
        assert picture.width >= 3 * SIZE


def test_prediction_is_saved_as_picture_and_data(trained, pictures, tmp_path):
    config, options, work_dir = trained
    checkpoint = str(work_dir / f'epoch_{EPOCHS}.pth')
    written = predict(
        config, checkpoint, str(pictures / '3.png'), str(tmp_path), cfg_options=options
    )
    assert written == [tmp_path / '3.png']
    depth = np.array(json.loads((tmp_path / '3.json').read_text())['depth'], dtype=np.float32)
    result = load_model(config, checkpoint)(pictures / '3.png')
    np.testing.assert_allclose(result.depth, depth, rtol=1e-6)
    with Image.open(tmp_path / '3.png') as picture:
        assert picture.width == 2 * SIZE + 6
