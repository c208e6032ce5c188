"""`--data FOLDER`: from annotated pictures as a tool wrote them to a report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fastvit_dense.datasets.check.datasets import quick_check
from tests.datasets.formats import annotated
from tests.tiny import ROOT, read_log, read_report

from .test_train import SMALL

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]
DETECTOR = tuple(option for option in SMALL if 'mask_head' not in option)
SEGMENTOR = (
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.pipeline.3.scale=(128,64)',
    'train_dataloader.dataset.pipeline.4.crop_size=(64,64)',
    'model.data_preprocessor.size=(64,64)',
    'model.decode_head.norm_cfg.type=BN',
    'train_cfg.max_iters=3',
    'train_cfg.val_interval=3',
    'default_hooks.checkpoint.interval=3',
    'default_hooks.checkpoint.save_best=None',
)
WORKERS = ('val_dataloader', 'test_dataloader')
ALL = (
    'model.backbone.init_cfg=None',
    *(f'{loader}.num_workers=0' for loader in WORKERS),
    *(f'{loader}.persistent_workers=False' for loader in WORKERS),
    *(f'{loader}.dataset.pipeline.1.scale=(96,96)' for loader in WORKERS),
)


def train_and_test(run_tool, config, data, work_dir, options):
    """Train, test the checkpoint on the same folder, and check the data; the report."""
    arguments = ('--data', data, '--work-dir', work_dir, '--cfg-options', *options, *ALL)
    done = run_tool('train', f'configs/{config}.py', *arguments)
    assert done.status == 0, done.err
    checkpoint = next(work_dir.glob('*_[0-9].pth'))
    arguments = ('--data', data, '--work-dir', work_dir / 'test', '--cfg-options', *ALL[1:])
    options = [o for o in options if o.startswith('model.')]
    done = run_tool('test', f'configs/{config}.py', checkpoint, *arguments, *options)
    assert done.status == 0, done.err
    done = run_tool('check_data', f'configs/{config}.py', '--data', data, '--json')
    assert json.loads(done.out[done.out.index('{\n') :])['ok'], done.out
    return read_report(work_dir / 'test')


@pytest.fixture(autouse=True)
def _in_own_folder(monkeypatch, tmp_path):
    """What `check_data` writes goes where the test ends."""
    monkeypatch.setattr(
        'fastvit_dense.tasks.config.default_work_dir', lambda path: str(tmp_path / 'default')
    )


def test_mask_rcnn_on_yolo(run_tool, tmp_path):
    annotated.yolo(tmp_path / 'parts')
    work_dir = tmp_path / 'run'
    report = train_and_test(run_tool, 'maskrcnn_fastvit_t8', tmp_path / 'parts', work_dir, SMALL)
    assert report['dataset'] == 'parts'
    assert report['samples'] == 1
    assert {'bbox_mAP', 'segm_mAP'} <= set(report['metrics'])
    meta = torch.load(work_dir / 'epoch_1.pth', weights_only=False)['meta']
    assert meta['dataset_meta']['classes'] == annotated.CLASSES
    told = read_log(work_dir)
    assert 'screw 1, hex nut 2' in told
    about = next(work_dir.glob('data-*/about.txt')).read_text()
    assert 'YOLO' in about
    assert '2 classes: screw 2, hex nut 2' in about
    assert 'train: 3 pictures, 3 objects' in about
    assert 'split: as the folder has it' in about


@pytest.mark.slow
@pytest.mark.parametrize('write', [annotated.labelme, annotated.masks])
def test_semantic_fpn(run_tool, write, tmp_path):
    write(tmp_path / 'parts')
    report = train_and_test(
        run_tool, 'semfpn_fastvit_t8', tmp_path / 'parts', tmp_path / 'run', SEGMENTOR
    )
    assert 'mIoU' in report['metrics']
    assert {row['name'] for row in report['per_class']} == {'background', *annotated.CLASSES}


@pytest.mark.slow
@pytest.mark.parametrize('write', [annotated.voc, annotated.cvat])
def test_faster_rcnn(run_tool, write, tmp_path):
    write(tmp_path / 'parts')
    report = train_and_test(
        run_tool, 'fasterrcnn_fastvit_t8', tmp_path / 'parts', tmp_path / 'run', DETECTOR
    )
    assert 'bbox_mAP' in report['metrics']
    assert 'segm_mAP' not in report['metrics']


def test_boxes_alone_are_refused_with_the_way_out(run_tool, tmp_path):
    annotated.voc(tmp_path / 'parts')
    arguments = ('--data', tmp_path / 'parts', '--work-dir', tmp_path / 'run')
    error = run_tool('train', 'configs/maskrcnn_fastvit_sa12.py', *arguments).error
    assert 'boxes train fasterrcnn_fastvit_sa12' in error
    assert 'fasterrcnn' in run_tool('train', 'configs/semfpn_fastvit_t8.py', *arguments).error
    annotated.masks(tmp_path / 'areas')
    arguments = ('--data', tmp_path / 'areas', '--work-dir', tmp_path / 'run')
    assert 'semfpn' in run_tool('train', 'configs/maskrcnn_fastvit_sa12.py', *arguments).error


def test_hands_are_no_folders_of_objects(run_tool, tmp_path):
    annotated.voc(tmp_path / 'parts')
    done = run_tool('train', 'configs/handmesh_fastvit_t8.py', '--data', tmp_path / 'parts')
    assert '--data' in done.error


def test_sample_and_data_exclude_each_other(run_tool, tmp_path):
    done = run_tool('train', 'configs/maskrcnn_fastvit_t8.py', '--sample', '--data', tmp_path)
    assert 'give one of them' in done.error


def test_classes_of_a_model_are_those_of_the_test(tmp_path):
    """Another order of classes, one more and one less, as a test folder may have them."""
    from fastvit_dense.tasks.config import load_config

    annotated.yolo(tmp_path / 'parts')
    classes = ('hex nut', 'washer')
    for name in ('maskrcnn_fastvit_t8', 'semfpn_fastvit_t8'):
        if name.startswith('semfpn'):
            classes = ('hex nut', 'background', 'washer')
        cfg = load_config(
            f'configs/{name}.py',
            data=tmp_path / 'parts',
            classes=classes,
            pretrained=False,
            work_dir=tmp_path / name,
        )
        dataset = cfg.val_dataloader.dataset
        assert tuple(dataset.metainfo.classes) == classes
        if name.startswith('maskrcnn'):
            content = json.loads(Path(dataset.ann_file).read_text())
            assert [c['name'] for c in content['categories']] == list(classes)
            assert content['annotations'] == []  # the only picture of val has screws alone
        else:
            from PIL import Image

            path = next((tmp_path / name).glob('data-*/masks/train/b.png'))
            assert set(np.unique(Image.open(path))) == {0, 1}


def test_a_folder_of_test_pictures_will_do_for_a_test(tmp_path):
    """Without any to train on: of objects, and of masks."""
    from fastvit_dense.tasks.config import load_config

    annotated.write_json(
        tmp_path / 'boxes/test/_annotations.coco.json',
        annotated.coco(tmp_path / 'boxes/test', 'ab', folders=False),
    )
    annotated.masks(tmp_path / 'areas')
    for folder in ('images', 'masks'):
        (tmp_path / 'areas' / folder / 'train').rename(tmp_path / 'areas' / folder / 'test')
        shutil.rmtree(tmp_path / 'areas' / folder / 'val')
    for name, data in (('maskrcnn_fastvit_t8', 'boxes'), ('semfpn_fastvit_t8', 'areas')):
        classes = ('background', *annotated.CLASSES)[data == 'boxes' :]
        cfg = load_config(
            f'configs/{name}.py',
            data=tmp_path / data,
            classes=classes,
            pretrained=False,
            work_dir=tmp_path / name,
        )
        report = quick_check(cfg, 'test_dataloader')
        assert [dataset.images for dataset in report.datasets] == [2 + (data == 'areas')]


def test_convert_data_tells_what_it_understood(run_tool, tmp_path):
    annotated.labelme(tmp_path / 'parts')
    done = run_tool('convert_data', tmp_path / 'parts', tmp_path / 'out')
    assert done.status == 0, done.err
    assert 'labelme' in done.out
    assert '2 classes: hex nut 2, screw 2' in done.out
    assert 'the data is sound' in done.out
    about = (tmp_path / 'out/about.txt').read_text()
    assert about.splitlines()[0] in done.out
    assert 'the data is sound' in about
    done = run_tool('convert_data', tmp_path / 'parts', tmp_path / 'out')
    assert 'expected no such folder yet' in done.error
    done = run_tool('convert_data', tmp_path / 'out', tmp_path / 'masks', '--to', 'masks')
    assert done.status == 0, done.err


@pytest.mark.slow
def test_the_recipe_for_small_data(run_tool, tmp_path):
    """All switches in one training of 2 passes, resumed to 4; tested with augmentation."""
    pytest.importorskip('tensorboard')
    annotated.masks(tmp_path / 'parts')
    work_dir = tmp_path / 'run'
    options = [o for o in (*SEGMENTOR, *ALL) if 'max_iters' not in o and 'val_interval' not in o]
    options = [o for o in options if 'save_best' not in o and 'interval=3' not in o]
    options += ['train_dataloader.batch_size=1', 'train_dataloader.drop_last=False']
    options += ['model.decode_head.norm_cfg.requires_grad=False', 'model.backbone.norm_eval=True']
    switches = ('--balance', '--accumulate', '--early-stop', '3', '--log', 'tensorboard')
    arguments = ('--data', tmp_path / 'parts', '--work-dir', work_dir, *switches)
    config = 'configs/finetune/semfpn_fastvit_t8.py'
    for epochs, more in ((2, ()), (4, ('--resume',))):
        limits = (f'train_cfg.max_epochs={epochs}', 'default_hooks.checkpoint.interval=2')
        done = run_tool('train', config, *arguments, *more, '--cfg-options', *options, *limits)
        assert done.status == 0, done.err
    assert list(work_dir.rglob('events.out.tfevents.*'))
    checkpoint = work_dir / 'epoch_4.pth'
    assert 'ema_state_dict' in torch.load(checkpoint, weights_only=False)
    arguments = ('--data', tmp_path / 'parts', '--work-dir', tmp_path / 'test', '--tta')
    model = [o for o in options if o.startswith('model.')]
    done = run_tool('test', config, checkpoint, *arguments, '--cfg-options', *ALL[1:], *model)
    assert done.status == 0, done.err
    report = read_report(tmp_path / 'test')
    assert report['protocol']['test_time_augmentation'] == 'SegTTAModel'
    assert 'mIoU' in report['metrics']


RECIPES = sorted(path.stem for path in (ROOT / 'configs/finetune').glob('*.py'))
SMALL_PICTURES = {
    'semfpn': [o for o in SEGMENTOR if 'train_cfg' not in o and 'checkpoint' not in o]
    + ['train_dataloader.drop_last=False', 'train_cfg.val_interval=1']
    + ['default_hooks.checkpoint.interval=1'],
    'detector': [o for o in DETECTOR if 'pipeline.3' not in o and 'max_epochs' not in o]
    + ['train_dataloader.dataset.pipeline.3.scales=[(96,96)]', 'train_dataloader.batch_size=2']
    + [f'{name}_dataloader.dataset.pipeline.1.scale=(96,96)' for name in ('val', 'test')],
}


@pytest.mark.slow
@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_trains_and_goes_on(run_tool, name, tmp_path):
    """One pass with all switches, then a second one; the best checkpoint is scored."""
    annotated.yolo(tmp_path / 'parts')
    kind = 'semfpn' if name.startswith('semfpn') else 'detector'
    options = [o for o in (*SMALL_PICTURES[kind], *ALL) if 'save_best' not in o]
    options += ['model.backbone.frozen_stages=-1', 'model.backbone.norm_eval=False']
    work_dir = tmp_path / 'run'
    switches = ('--balance', '--ema', '--accumulate', 'auto', '--early-stop', '3')
    arguments = ('--data', tmp_path / 'parts', '--work-dir', work_dir, *switches)
    for epochs, more in ((1, ()), (2, ('--resume',))):
        limit = f'train_cfg.max_epochs={epochs}'
        done = run_tool(
            'train', f'finetune/{name}', *arguments, *more, '--cfg-options', *options, limit
        )
        assert done.status == 0, done.err
    assert (work_dir / 'epoch_2.pth').is_file()
    (best,) = work_dir.glob('best_*.pth')
    done = run_tool('test', best, '--data', tmp_path / 'parts', '--work-dir', tmp_path / 'test')
    assert done.status == 0, done.err
    assert read_report(tmp_path / 'test')['samples'] == 1
