"""`tools/test.py`: the flags, and one readable error for each bad input."""

import json
import os
import re
import shutil

import pytest
import torch

from fastvit_dense import load_model, reparameterize

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def truncated(trained, path):
    path.write_bytes(trained.read_bytes()[:20_000])


def empty(trained, path):
    path.write_bytes(b'')


def hostile(trained, path):
    state = torch.load(trained, weights_only=False)['state_dict']
    torch.save({'state_dict': state, 'meta': Hostile(path.with_name('was_run'))}, path)


def web_page(trained, path):
    path.write_text('<!doctype html><html>Sign in</html>')


def one_missing(trained, path):
    state = torch.load(trained, weights_only=False)['state_dict']
    del state['backbone.stem.0.conv_scale.conv.weight']
    torch.save({'state_dict': state}, path)


def not_finite(trained, path):
    state = torch.load(trained, weights_only=False)['state_dict']
    state['rpn_head.rpn_conv.bias'][3] = float('nan')
    torch.save({'state_dict': state}, path)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (truncated, r'CheckpointError: \S+bad\.pth: truncated, damaged or not a checkpoint'),
        (empty, r'CheckpointError: \S+bad\.pth: the file is empty'),
        (hostile, r'CheckpointError: \S+bad\.pth: refused, because it holds a (posix|os)\.mkdir'),
        (web_page, r'CheckpointError: \S+bad\.pth: expected a checkpoint, found a web page'),
        (one_missing, r'CheckpointMismatch: \S+bad\.pth does not fit[\s\S]*stem\.0\.conv_scale'),
        (not_finite, r'CheckpointMismatch: \S+bad\.pth does not fit[\s\S]*rpn_conv\.bias'),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_bad_checkpoints(run_tool, tiny_instance, trained, tmp_path, damage, message):
    damage(trained, tmp_path / 'bad.pth')
    arguments = (tmp_path / 'bad.pth', '--work-dir', tmp_path / 'work')
    done = run_tool('test', tiny_instance, *arguments)
    assert re.search(message, done.error)
    assert not (tmp_path / 'was_run').exists()
    assert not (tmp_path / 'work/report.json').exists()


@pytest.mark.parametrize('tool', ['train', 'predict'])
def test_no_command_runs_what_a_checkpoint_brings(
    run_tool, tiny_instance, trained, sample_data, tmp_path, tool
):
    """Resuming, which is mmengine's own reading, and predicting refuse it too."""
    hostile(trained, tmp_path / 'bad.pth')
    arguments = {
        'predict': [tmp_path / 'bad.pth', sample_data / 'coco/val2017'],
        'train': ['--resume', tmp_path / 'bad.pth', '--work-dir', tmp_path / 'work'],
    }
    done = run_tool(tool, tiny_instance, *arguments[tool])
    assert re.search(r'CheckpointError: \S+bad\.pth: refused, because it holds a ', done.error)
    assert not (tmp_path / 'was_run').exists()


def test_checkpoint_of_another_variant(run_tool, tiny_instance, trained, tmp_path):
    done = run_tool(
        *('test', tiny_instance, trained, '--work-dir', tmp_path, '--cfg-options'),
        *('model.backbone.arch=t12', 'model.neck.in_channels=[64,128,256,512]'),
    )
    assert f'CheckpointMismatch: {trained} does not fit' in done.error
    assert 'backbone.stem.0' in done.error
    assert 't8' in done.error


def test_checkpoint_of_other_classes(run_tool, tiny_instance, trained, tmp_path):
    done = run_tool(
        *('test', tiny_instance, trained, '--work-dir', tmp_path, '--cfg-options'),
        'train_dataloader.dataset.metainfo.classes=[person,cat]',
    )
    assert 'roi_head.bbox_head.fc_cls' in done.error
    assert re.search(r'expected \(?3.*found \(?7', done.error)


def test_folded_checkpoint(run_tool, tiny_instance, trained, tmp_path):
    """A folded file does not go into an unfolded model; the message says what to do."""
    model = reparameterize(load_model(tiny_instance, trained).model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'folded.pth')
    done = run_tool('test', tiny_instance, tmp_path / 'folded.pth', '--work-dir', tmp_path)
    assert 'folded.pth does not fit' in done.error
    assert 'reparameterized=True' in done.error
    done = run_tool(
        *('test', tiny_instance, tmp_path / 'folded.pth', '--work-dir', tmp_path),
        *('--cfg-options', 'model.backbone.reparameterized=True'),
        'test_dataloader.dataset.indices=1',
    )
    assert done.status == 0


def test_checkpoint_that_is_not_there(run_tool, tiny_instance, tmp_path):
    done = run_tool('test', tiny_instance, tmp_path / 'none.pth', '--work-dir', tmp_path)
    assert 'none.pth: ' in done.error
    assert 'no such' in done.error


def test_broken_picture_stops_the_evaluation(
    run_tool, tiny_instance, trained, sample_data, tmp_path
):
    """Numbers over a part of the pictures would be numbers of something else."""
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    for image in content['images']:
        shutil.copy(sample_data / 'coco/val2017' / image['file_name'], tmp_path)
    broken = tmp_path / content['images'][1]['file_name']
    broken.write_bytes(broken.read_bytes()[:500])
    folder = f'test_dataloader.dataset.data_prefix.img={tmp_path}'
    arguments = ('test', tiny_instance, trained, '--work-dir', tmp_path, '--cfg-options', folder)
    done = run_tool(*arguments)
    assert f'DataError: {broken}: ' in done.error
    assert 'truncated after 500 bytes' in done.error
    done = run_tool(*arguments, 'test_dataloader.num_workers=1')
    assert f'DataError: {broken}: ' in done.error
    broken.unlink()
    done = run_tool(*arguments)
    assert broken.name in done.error
    assert not (tmp_path / 'report.json').exists()


def test_images_without_a_file_name(run_tool, tiny_instance, trained, tmp_path):
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    for image in content['images']:
        del image['file_name']
    (tmp_path / 'val.json').write_text(json.dumps(content))
    done = run_tool(
        *('test', tiny_instance, trained, '--work-dir', tmp_path, '--cfg-options'),
        f'test_dataloader.dataset.ann_file={tmp_path}/val.json',
        f'test_evaluator.ann_file={tmp_path}/val.json',
    )
    assert re.search(r'val\.json.*file_name', done.error)


def test_missing_truth(run_tool, tiny_instance, trained, tmp_path):
    """Pictures without annotations are predicted only where that is asked for."""
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    del content['annotations']
    (tmp_path / 'info.json').write_text(json.dumps(content))
    done = run_tool(
        *('test', tiny_instance, trained, '--work-dir', tmp_path, '--cfg-options'),
        f'test_dataloader.dataset.ann_file={tmp_path}/info.json',
        f'test_evaluator.ann_file={tmp_path}/info.json',
    )
    assert 'info.json holds no "annotations"' in done.error
    assert 'format_only=True' in done.error


def test_verify_without_values(run_tool, tiny_instance, trained, tmp_path):
    done = run_tool('test', tiny_instance, trained, '--verify', '--work-dir', tmp_path)
    assert 'ConfigError' in done.error
    assert '--verify: the config carries no expected_results' in done.error


def test_malformed_expected_value(run_tool, tiny_instance, trained, tmp_path):
    """Told before the evaluation, not after hours of it."""
    path = tmp_path / 'config.py'
    expected = [dict(metric='bbox_mAP', value='high', tolerance=0.1)]
    path.write_text(f'_base_ = {str(tiny_instance)!r}\nexpected_results = {expected}\n')
    done = run_tool('test', path, trained, '--verify', '--work-dir', tmp_path)
    assert "expected_results[0]['value']: expected a finite number, found 'high'" in done.error
    assert not (tmp_path / 'predictions').exists()


def test_picture_of_a_wrong_folder(run_tool, tiny_instance, trained, tmp_path):
    arguments = ('predict', tiny_instance, trained)
    done = run_tool(*arguments, tmp_path / 'none', '--out-dir', tmp_path / 'out')
    assert f'ImageError: {tmp_path}/none: no such file or folder' in done.error


def test_sample_evaluation_needs_no_pretrained_file(
    run_tool, tiny_instance, trained, tmp_path, monkeypatch
):
    """A config that names one, and a CHECKPOINT: the file is not looked for."""

    def refuse(*_, **__):
        raise AssertionError('a pretrained file was looked for')

    monkeypatch.setattr('fastvit_dense.checkpoints.pretrained.load_pretrained', refuse)
    monkeypatch.setattr('fastvit_dense.checkpoints.download.fetch', refuse)
    path = tmp_path / 'config.py'
    init = "dict(_delete_=True, type='Pretrained', checkpoint='apple/fastvit_t8')"
    path.write_text(
        f'_base_ = {str(tiny_instance)!r}\nmodel = dict(backbone=dict(init_cfg={init}))\n'
    )
    done = run_tool(
        *('test', path, trained, '--work-dir', tmp_path, '--cfg-options'),
        'test_dataloader.dataset.indices=1',
    )
    assert done.status == 0
    assert json.loads(done.out.splitlines()[-3])['bbox_mAP'] >= 0
    assert f'report: {tmp_path}/report.html' in done.out
