"""Whole runs: training, evaluation, saved predictions, resuming, with small models on the CPU."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fastvit_dense import engine
from fastvit_dense.errors import CheckpointError, CheckpointMismatch, ConfigError
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration
REPORT = {
    *('task', 'dataset', 'split', 'samples', 'metrics', 'per_class', 'curves', 'reference'),
    *('protocol', 'model', 'environment', 'seconds'),
}
NO_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')


def read_report(work_dir):
    return json.loads((work_dir / 'report.json').read_text())


@pytest.fixture(scope='module')
def evaluated(tiny_instance, trained, tmp_path_factory):
    """Work dir of the evaluation of the trained Mask R-CNN."""
    work_dir = tmp_path_factory.mktemp('evaluated')
    assert engine.evaluate_checkpoint(tiny_instance, str(trained), work_dir=str(work_dir)) == 0
    return work_dir


@pytest.fixture(scope='module')
def evaluated_semantic(tiny_semantic, trained_semantic, tmp_path_factory):
    """Work dir of the evaluation of the trained Semantic FPN."""
    work_dir = tmp_path_factory.mktemp('evaluated_semantic')
    checkpoint = str(trained_semantic)
    assert engine.evaluate_checkpoint(tiny_semantic, checkpoint, work_dir=str(work_dir)) == 0
    return work_dir


# --- evaluation --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ('task', 'predictions'),
    [('instance', 'predictions/instances.json'), ('semantic', 'predictions')],
)
def test_saved_predictions_score_to_the_last_digit(request, task, predictions, tmp_path):
    config = request.getfixturevalue(f'tiny_{task}')
    work_dir = request.getfixturevalue('evaluated' + ('_semantic' if task == 'semantic' else ''))
    metrics = engine.score_predictions(config, str(work_dir / predictions), work_dir=str(tmp_path))
    before, after = read_report(work_dir), read_report(tmp_path)
    assert after['metrics'] == before['metrics'] == metrics
    assert after['per_class'] == before['per_class']
    assert after['samples'] == before['samples']
    assert after['model'] is None
    assert len(list((tmp_path / 'pictures').iterdir())) == 4


@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_metrics_of_the_model_zoos_end_in_the_same_report(request, task, tmp_path):
    """A config of mmdet's or mmseg's names CocoMetric or IoUMetric, which keep no result."""
    semantic = task == 'semantic'
    config = request.getfixturevalue(f'tiny_{task}')
    work = request.getfixturevalue('evaluated_semantic' if semantic else 'evaluated')
    theirs = 'IoUMetric' if semantic else 'CocoMetric'
    found = engine.score_predictions(
        str(config),
        str(work / 'predictions' / ('' if semantic else 'instances.json')),
        work_dir=str(tmp_path),
        cfg_options=[f'test_evaluator.type={theirs}'],
    )
    assert found == read_report(work)['metrics'] == read_report(tmp_path)['metrics']


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


def test_verify_without_expected_results(tiny_instance, trained, tmp_path):
    with pytest.raises(ConfigError, match=r'tiny_instance\.py.*no expected_results'):
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


# --- resuming ----------------------------------------------------------------------------------


@HOOKS.register_module()
class InterruptAfter(Hook):
    """Ctrl-C at the end of an iteration."""

    priority = 'LOWEST'

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iterations:
            raise KeyboardInterrupt


def interrupted_config(config, folder, iterations):
    """The same config but for the interruption."""
    path = folder / 'interrupted.py'
    hooks = [dict(type='SeedHook'), dict(type='InterruptAfter', iterations=iterations)]
    path.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = {hooks}\n')
    return path


def assert_same_training(one, other):
    """Bit-identical weights, BatchNorm's statistics, state of optimiser and schedules."""
    one, other = (torch.load(path, weights_only=False) for path in (one, other))
    assert one['state_dict'].keys() == other['state_dict'].keys()
    for name, tensor in one['state_dict'].items():
        assert torch.equal(tensor, other['state_dict'][name]), name
    states = one['optimizer']['state'], other['optimizer']['state']
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, states[1][key][name]), (key, name)
    assert one['param_schedulers'] == other['param_schedulers']
    assert one['meta']['iter'] == other['meta']['iter']


@pytest.fixture(scope='module')
def two_epochs(tiny_instance, tmp_path_factory):
    """Uninterrupted run of two epochs, and one that was interrupted within the second."""
    whole, broken = tmp_path_factory.mktemp('whole'), tmp_path_factory.mktemp('broken')
    options = ['train_cfg.max_epochs=2', *NO_VALIDATION]
    engine.train(tiny_instance, cfg_options=options, work_dir=str(whole))
    torch.rand(7)
    config = interrupted_config(tiny_instance, broken, iterations=5)
    with pytest.raises(KeyboardInterrupt):
        engine.train(config, cfg_options=options, work_dir=str(broken))
    assert not (broken / 'epoch_2.pth').exists()
    return whole, broken, options


def test_resumed_epochs_are_those_of_an_uninterrupted_run(tiny_instance, two_epochs):
    whole, broken, options = two_epochs
    torch.rand(11)
    engine.train(tiny_instance, cfg_options=options, work_dir=str(broken), resume='auto')
    assert_same_training(whole / 'epoch_2.pth', broken / 'epoch_2.pth')


def test_resume_from_a_file_with_a_loading_process(tiny_instance, two_epochs, tmp_path):
    """The same pictures, flips and sizes whatever the number of loading processes."""
    whole, broken, options = two_epochs
    options = [*options, 'train_dataloader.num_workers=1']
    checkpoint = str(broken / 'epoch_1.pth')
    engine.train(tiny_instance, cfg_options=options, work_dir=str(tmp_path), resume=checkpoint)
    assert_same_training(whole / 'epoch_2.pth', tmp_path / 'epoch_2.pth')


@pytest.mark.parametrize('num_workers', [0, 1])
def test_resumed_iterations(tiny_semantic, trained_semantic, tmp_path, num_workers):
    """Interrupted after the third of four iterations, resumed at the second."""
    options = [f'train_dataloader.num_workers={num_workers}', *NO_VALIDATION]
    config = interrupted_config(tiny_semantic, tmp_path, iterations=3)
    with pytest.raises(KeyboardInterrupt):
        engine.train(config, cfg_options=options, work_dir=str(tmp_path))
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_2.pth')
    torch.rand(5)
    engine.train(tiny_semantic, cfg_options=options, work_dir=str(tmp_path), resume='auto')
    assert_same_training(trained_semantic, tmp_path / 'iter_4.pth')


def test_another_seed_trains_another_model(tiny_semantic, trained_semantic, tmp_path):
    """The equalities above say something: another seed changes the weights."""
    options = ['randomness.seed=1', 'train_cfg.max_iters=2', *NO_VALIDATION]
    engine.train(tiny_semantic, cfg_options=options, work_dir=str(tmp_path))
    with pytest.raises(AssertionError):
        assert_same_training(trained_semantic.with_name('iter_2.pth'), tmp_path / 'iter_2.pth')


def test_resume_without_a_checkpoint_starts_anew(tiny_semantic, trained_semantic, tmp_path, logged):
    """A folder without checkpoints: a line says so, and the run is the usual one."""
    options = ['train_cfg.max_iters=2', *NO_VALIDATION]
    engine.train(tiny_semantic, work_dir=str(tmp_path), cfg_options=options, resume='auto')
    assert_same_training(trained_semantic.with_name('iter_2.pth'), tmp_path / 'iter_2.pth')
    assert any(f'no checkpoint in {tmp_path}' in line for line in logged)


def test_resume_from_nothing_and_from_what_does_not_fit(tiny_instance, trained, tmp_path):
    def resume(path, *options):
        engine.train(
            tiny_instance,
            cfg_options=[*NO_VALIDATION, *options],
            work_dir=str(tmp_path),
            resume=str(path),
        )

    with pytest.raises(CheckpointError, match=r'epoch_9\.pth: .*no such'):
        resume(tmp_path / 'epoch_9.pth')
    state = torch.load(trained, weights_only=False)['state_dict']
    torch.save(state, tmp_path / 'weights.pth')
    with pytest.raises(CheckpointError, match=r'weights\.pth: .*load_from'):
        resume(tmp_path / 'weights.pth')
    with pytest.raises(CheckpointMismatch, match=r'epoch_1\.pth does not fit') as error:
        resume(trained, 'model.backbone.arch=t12', 'model.neck.in_channels=[64,128,256,512]')
    assert 'backbone.stem' in str(error.value)


# --- settings ----------------------------------------------------------------------------------


def test_semantic_fpn_trains_without_sync_bn(trained_semantic):
    """Its config asks for SyncBN, which a CPU does not have."""
    text = torch.load(trained_semantic, weights_only=False)['meta']['cfg']
    cfg = Config.fromstring(text, '.py')
    assert cfg.model.decode_head.norm_cfg == dict(type='BN', requires_grad=True)


def test_amp_needs_a_gpu(tiny_instance, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match='--amp: needs a GPU'):
        engine.train(tiny_instance, work_dir=str(tmp_path), amp=True)


def test_auto_scale_lr(tiny_semantic, tmp_path):
    """4 pictures at a time instead of 32: an eighth of the learning rate."""
    with pytest.raises(ConfigError, match=r'auto_scale_lr\.base_batch_size'):
        engine.train(
            tiny_semantic,
            cfg_options=['auto_scale_lr.base_batch_size=0'],
            work_dir=str(tmp_path),
            auto_scale_lr=True,
        )
    runner = engine.train(
        tiny_semantic,
        cfg_options=['train_cfg.max_iters=1', 'param_scheduler=None', *NO_VALIDATION],
        work_dir=str(tmp_path),
        auto_scale_lr=True,
    )
    (group,) = runner.optim_wrapper.param_groups
    assert math.isclose(group['lr'], 1e-3 / 8)
