"""Tests under corruptions: the numbers of pictures corrupted by hand, once each, in the report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import imagecorruptions
import numpy as np
import pytest
import torch
from PIL import Image

from fastvit_dense import engine
from fastvit_dense.datasets.corruptions import Setting, seed_of
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming
from tests.tiny import read_report

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def corrupted(tiny_semantic, random_semantic, tmp_path_factory):
    """Work dir of a test under two corruptions."""
    work_dir = tmp_path_factory.mktemp('corrupted')
    engine.evaluate_checkpoint(
        tiny_semantic,
        str(random_semantic),
        work_dir=str(work_dir),
        corruptions='gaussian_noise,contrast',
    )
    return work_dir


def test_scores_are_those_of_pictures_corrupted_by_hand(
    corrupted, tiny_semantic, random_semantic, tmp_path
):
    """Also: the scores do not depend on the processes that load."""
    dataset = load_config(tiny_semantic).test_dataloader.dataset
    setting = Setting('gaussian_noise', 2)
    folder = Path(dataset.data_root, dataset.data_prefix.img_path)
    for path in sorted(folder.iterdir()):
        seed = seed_of(path.name, setting)
        np.random.seed(seed)
        image = np.asarray(Image.open(path).convert('RGB'))
        noisy = imagecorruptions.corrupt(image, corruption_name='gaussian_noise', severity=2)
        Image.fromarray(noisy).save(tmp_path / f'{path.stem}.png')
    engine.evaluate_checkpoint(
        tiny_semantic,
        str(random_semantic),
        work_dir=str(tmp_path / 'work'),
        cfg_options=[
            f'test_dataloader.dataset.data_prefix.img_path={tmp_path}',
            'test_dataloader.dataset.img_suffix=.png',
        ],
    )
    by_hand = read_report(tmp_path / 'work')['metrics']
    scored = read_report(corrupted)['robustness']['by_corruption']['gaussian_noise']
    for name in ('mIoU', 'mAcc', 'aAcc', 'mDice'):
        assert scored[name][1] == by_hand[name]
    engine.evaluate_checkpoint(
        tiny_semantic,
        str(random_semantic),
        work_dir=str(tmp_path / 'workers'),
        corruptions='gaussian_noise',
        cfg_options=['test_dataloader.num_workers=2', 'test_dataloader.persistent_workers=True'],
    )
    same = read_report(tmp_path / 'workers')['robustness']['by_corruption']
    assert same['gaussian_noise'] == scored


def test_report_has_the_clean_number_beside(corrupted, tiny_semantic, tmp_path):
    report = read_report(corrupted)
    robustness = report['robustness']
    assert robustness['library'].startswith('imagecorruptions-imaug ')
    assert list(robustness['by_corruption']) == ['gaussian_noise', 'contrast']
    assert robustness['clean'] == {n: report['metrics'][n] for n in robustness['clean']}
    for name, value in robustness['mPC'].items():
        rows = [by_metric[name] for by_metric in robustness['by_corruption'].values()]
        assert value == pytest.approx(np.mean(rows))
        assert robustness['rPC'][name] == pytest.approx(value / robustness['clean'][name])
    page = (corrupted / 'report.html').read_text()
    assert 'Under corruptions' in page
    assert page.count('<figcaption>gaussian noise</figcaption>') == 1
    assert 'Under corruptions' in (corrupted / 'report.md').read_text()
    assert report['seconds']['corruptions'] > 0
    # what is saved is of the pictures as they are
    engine.score_predictions(tiny_semantic, str(corrupted / 'predictions'), work_dir=str(tmp_path))
    assert read_report(tmp_path)['metrics'] == report['metrics']


def test_what_was_scored_is_not_scored_again(
    corrupted, tiny_semantic, random_semantic, tmp_path, capsys
):
    content = json.loads((corrupted / 'corruptions.json').read_text())
    content['scored']['contrast 3']['mIoU'] = 12.5  # a mark
    del content['scored']['contrast 5']
    (tmp_path / 'corruptions.json').write_text(json.dumps(content))
    arguments = dict(work_dir=str(tmp_path), corruptions='contrast')
    engine.evaluate_checkpoint(tiny_semantic, str(random_semantic), **arguments)
    told = capsys.readouterr().out
    assert '4 of 5 settings are scored already' in told
    assert '1 of 1, contrast at strength 5: mIoU' in told
    scored = read_report(tmp_path)['robustness']['by_corruption']['contrast']['mIoU']
    before = read_report(corrupted)['robustness']['by_corruption']['contrast']['mIoU']
    assert scored == [*before[:2], 12.5, *before[3:]]

    weights = torch.load(random_semantic, weights_only=False)
    weights['state_dict']['decode_head.conv_seg.bias'] += 1.0
    torch.save({'state_dict': weights['state_dict']}, tmp_path / 'other.pth')
    engine.evaluate_checkpoint(tiny_semantic, str(tmp_path / 'other.pth'), **arguments)
    told = capsys.readouterr().out
    assert 'already' not in told
    assert '1 of 5, contrast at strength 1: mIoU' in told
    assert 'to go' in told


def test_names_are_checked_before_anything_is_read(tiny_semantic, tmp_path):
    with raises_naming(ConfigError, '--corruptions', "'fogg'", "'fog'"):
        engine.evaluate_checkpoint(
            tiny_semantic, 'none.pth', work_dir=str(tmp_path), corruptions='fogg'
        )


@pytest.mark.slow
def test_two_processes_score_as_one(tiny_semantic, random_semantic, root_dir, tmp_path):
    """Over gloo, each with two that load; of three pictures the sampler pads one."""
    options = ['test_dataloader.dataset.indices=3']
    names = 'glass_blur,impulse_noise,fog,elastic_transform'
    engine.evaluate_checkpoint(
        tiny_semantic,
        str(random_semantic),
        work_dir=str(tmp_path / 'one'),
        cfg_options=options,
        corruptions=names,
    )
    options += ['test_dataloader.num_workers=2', 'test_dataloader.persistent_workers=True']
    command = [
        *(sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone'),
        *('-m', 'fastvit_dense', 'test', str(tiny_semantic), str(random_semantic)),
        *('--launcher', 'pytorch', '--work-dir', str(tmp_path / 'two')),
        *('--corruptions', names, '--cfg-options', *options),
    ]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(root_dir)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.count('20 of 20, elastic transform at strength 5: mIoU') == 1
    one, two = (read_report(tmp_path / name) for name in ('one', 'two'))
    assert two['metrics'] == one['metrics']
    assert two['robustness'] == one['robustness']
    assert two['uncertainty'] == one['uncertainty']
