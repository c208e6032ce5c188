"""Testing checkpoints: the report, `--verify`, `--fuse`, pictures without ground truth."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastvit_dense import engine, load_model
from fastvit_dense.errors import ConfigError, DataError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming
from tests.tiny import read_report

pytestmark = pytest.mark.integration
REPORT = {
    *('task', 'dataset', 'split', 'samples', 'metrics', 'per_class', 'curves', 'reference'),
    *('protocol', 'model', 'environment', 'seconds'),
}


def test_report_of_instances(evaluated, trained):
    report = read_report(evaluated)
    assert set(report) >= REPORT
    assert (report['task'], report['split'], report['samples']) == ('instance', 'val', 4)
    for kind in ('bbox', 'segm'):
        for name in ('mAP', 'mAP_50', 'mAP_75', 'AR@1', 'AR@10', 'AR@100', 'AR_s@100'):
            value = report['metrics'][f'{kind}_{name}']
            assert value == -1 or 0 <= value <= 1
    assert report['metrics']['bbox_AR@100'] > 0
    assert report['protocol']['form'] == 'as trained'
    assert 'at most 100 detections an image' in report['protocol']['rule']
    assert report['curves']['training_loss']['step'] == [1, 2, 3]
    assert report['reference'] == [], 'rows on COCO say nothing of other data'
    assert report['seconds']['test'] > 0
    assert [row['name'] for row in report['per_class']][:2] == ['person', 'cat']
    for name in ('report.md', 'report.html'):
        assert 'tiny_instance.py' in (evaluated / name).read_text()
    assert report['model']['config'] == 'tiny_instance.py'
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    assert report['model']['checkpoint_sha256'] == digest
    weights = torch.load(trained, weights_only=False)['state_dict']
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    parameters = sum(t.numel() for n, t in weights.items() if not n.endswith(buffers))
    assert report['model']['parameters'] == parameters
    assert report['model']['macs'] > 1e9


def test_report_of_labels(evaluated_semantic):
    report = read_report(evaluated_semantic)
    assert set(report) >= REPORT
    assert (report['task'], report['samples']) == ('semantic', 4)
    assert {'mIoU', 'mAcc', 'aAcc', 'mDice'} <= set(report['metrics'])
    assert all(0 <= report['metrics'][name] <= 100 for name in ('mIoU', 'mAcc', 'aAcc', 'mDice'))
    assert report['metrics']['aAcc'] > 0


def test_gallery_of_a_report_shows_every_picture(evaluated):
    assert len(list((evaluated / 'pictures').glob('*.png'))) == 4
    assert (evaluated / 'report.html').read_text().count('data:image') >= 4


def test_folded_model_scores_nearly_the_same(tiny_instance, trained, evaluated, tmp_path):
    """Also: --verify meets what was measured, --save-predictions takes the folder."""
    before = read_report(evaluated)
    names = ('bbox_mAP', 'segm_mAP', 'bbox_AR@100')
    expected = [dict(metric=n, value=before['metrics'][n], tolerance=0.005) for n in names]
    config = tmp_path / 'expecting.py'
    config.write_text(f'_base_ = {str(tiny_instance)!r}\nexpected_results = {expected}\n')
    status = engine.evaluate_checkpoint(
        config,
        str(trained),
        work_dir=str(tmp_path),
        fuse=True,
        verify=True,
        save_predictions=str(tmp_path / 'saved'),
    )
    report = read_report(tmp_path)
    assert status == 0
    assert report['protocol']['form'] == 'reparameterized'
    assert report['model']['parameters'] < before['model']['parameters']
    one = json.loads((evaluated / 'predictions/instances.json').read_text())
    other = json.loads((tmp_path / 'saved/instances.json').read_text())
    assert len(one) == len(other) > 40
    scores, folded = (sorted(e['score'] for e in entries) for entries in (one, other))
    assert scores == pytest.approx(folded, abs=1e-4)


def test_verify_names_the_missed_value(tiny_instance, trained, tmp_path, capsys):
    expected = [
        dict(metric='bbox_mAP', value=0.9, tolerance=0.003, source='wishful thinking'),
        dict(metric='bbox_AR@100', value=0.5, tolerance=0.5),
    ]
    config = tmp_path / 'expecting.py'
    config.write_text(f'_base_ = {str(tiny_instance)!r}\nexpected_results = {expected}\n')
    status = engine.evaluate_checkpoint(
        config,
        str(trained),
        work_dir=str(tmp_path),
        verify=True,
        cfg_options=['test_dataloader.dataset.indices=1'],
    )
    assert status == 1
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if 'expected 0.9' in line]
    assert line.startswith('bbox_mAP:')
    assert 'wishful thinking' in line
    assert not any(line.startswith('bbox_AR@100: ') for line in shown.splitlines())
    passed = [row['passed'] for row in read_report(tmp_path)['expected']]
    assert passed == [False, True]


def test_a_baseline_of_other_data_is_told_before_the_test(
    tiny_instance, trained, evaluated, evaluated_semantic, tmp_path, monkeypatch
):
    def test(self):
        raise AssertionError('the test began')

    monkeypatch.setattr('mmengine.runner.Runner.test', test)
    arguments = dict(work_dir=str(tmp_path), cfg_options=['test_dataloader.dataset.indices=3'])
    for baseline, facts in (
        (evaluated_semantic, ('task', 'instance', 'found', 'semantic')),
        (evaluated, ('samples', 3, 'found', 4)),
    ):
        with raises_naming(DataError, 'baseline', *facts):
            engine.evaluate_checkpoint(
                tiny_instance, str(trained), baseline=str(baseline), **arguments
            )


def test_verify_without_expected_results(tiny_instance, trained, tmp_path):
    with raises_naming(ConfigError, tiny_instance, '--verify', 'expected_results'):
        engine.evaluate_checkpoint(tiny_instance, str(trained), work_dir=str(tmp_path), verify=True)


def test_pictures_without_ground_truth(tiny_instance, trained, evaluated, tmp_path, capsys):
    """As COCO's test-dev: predictions in the official format, no scores, a line that says so."""
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    del content['annotations']
    (tmp_path / 'image_info.json').write_text(json.dumps(content))
    status = engine.evaluate_checkpoint(
        tiny_instance,
        str(trained),
        work_dir=str(tmp_path / 'work'),
        cfg_options=[
            f'test_dataloader.dataset.ann_file={tmp_path}/image_info.json',
            f'test_evaluator.ann_file={tmp_path}/image_info.json',
            'test_evaluator.format_only=True',
            f'test_evaluator.outfile_prefix={tmp_path}/out/test-dev',
        ],
    )
    assert status == 0
    scored = json.loads((evaluated / 'predictions/instances.json').read_text())
    boxes = json.loads((tmp_path / 'out/test-dev.bbox.json').read_text())
    masks = json.loads((tmp_path / 'out/test-dev.segm.json').read_text())
    assert set(boxes[0]) == {'image_id', 'category_id', 'bbox', 'score'}
    assert set(masks[0]) >= {'image_id', 'category_id', 'segmentation', 'score'}
    assert len(boxes) == len(masks) == len(scored)
    assert {e['image_id'] for e in boxes} == {image['id'] for image in content['images']}
    assert not (tmp_path / 'work/report.json').exists()
    assert 'no report' in capsys.readouterr().out


def test_label_maps_without_ground_truth(tiny_semantic, random_semantic, tmp_path, capsys):
    """As ADE20K's test set: there are no masks; label maps go where the evaluator says."""
    dataset = load_config(tiny_semantic).test_dataloader.dataset
    names = sorted(path.name for path in Path(dataset.data_root, 'images/validation').iterdir())[:2]
    (tmp_path / 'images').mkdir()
    for name in names:
        shutil.copy(Path(dataset.data_root, 'images/validation', name), tmp_path / 'images')
    options = [
        f'test_dataloader.dataset.data_root={tmp_path}',
        'test_dataloader.dataset.data_prefix.img_path=images',
        'test_dataloader.dataset.data_prefix.seg_map_path=masks',
        'test_evaluator.format_only=True',
        f'test_evaluator.output_dir={tmp_path}/labels',
    ]
    status = engine.evaluate_checkpoint(
        str(tiny_semantic), str(random_semantic), work_dir=str(tmp_path), cfg_options=options
    )
    assert status == 0
    written = sorted(path.stem for path in (tmp_path / 'labels').iterdir())
    assert written == [Path(name).stem for name in names]
    assert f'predictions only, in {tmp_path}/labels' in capsys.readouterr().out


def test_deep_pictures_are_read_as_in_training(tiny_semantic, trained_semantic, tmp_path):
    """Under a config that does not know their scale: the test's own would brighten them."""
    checkpoint = torch.load(trained_semantic, weights_only=False)
    checkpoint['meta']['cfg'] += '\nimage_bits = 12\n'
    path = tmp_path / 'deep.pth'
    torch.save(checkpoint, path)
    names = checkpoint['meta']['dataset_meta']['classes']
    masks = np.random.default_rng(0).integers(0, len(names), (2, 48, 64), np.uint8)
    for number, labels in enumerate(masks):
        pictures = {'images': labels.astype(np.uint16) * 40, 'masks': labels}
        for folder, values in pictures.items():
            place = tmp_path / 'data' / folder / 'test' / f'{number}.png'
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(place)
    (tmp_path / 'data/classes.txt').write_text('\n'.join(names))
    states = 'image_bits=10'
    tests = [(tiny_semantic,), (path,), (tiny_semantic, states), (path, states)]
    scores = []
    for number, (config, *options) in enumerate(tests):
        work_dir = tmp_path / str(number)
        engine.evaluate_checkpoint(
            config, str(path), data=tmp_path / 'data', work_dir=work_dir, cfg_options=options
        )
        scores.append(read_report(work_dir)['metrics'])
    assert scores[0] == scores[1]
    assert scores[2] == scores[3], 'a checkpoint that stands alone brings a pipeline with its bits'
    assert scores[0] != scores[2], 'brighter pictures have other scores here'
    cfg = load_config(tiny_semantic)
    assert load_model(cfg, path).reader.bits == 12
    assert 'image_bits' not in cfg, 'it stays as it was, for other checkpoints'
    cfg.image_bits = 14
    assert load_model(cfg, path).reader.bits == 14
