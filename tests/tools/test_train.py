"""`tools/train.py`: the flags, one's own data, and one readable error for each bad input."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import torch

from fastvit_dense.engine.work_dir import claimed
from tests.disk import change_disk, in_a_process, small_disk
from tests.facts import assert_names, raises_naming

from ..tiny import read_log

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]
CONFIG = 'configs/maskrcnn_fastvit_t8.py'
SEGMENTOR = 'configs/semfpn_fastvit_t8.py'
TINY = 'the tiny config'
NO_VALIDATION = ('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None')
# what makes any Mask R-CNN config of ours small
SMALL = (
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.pipeline.3.scale=(96,96)',
    'train_cfg.max_epochs=1',
    'model.train_cfg.rpn_proposal.max_per_img=40',
    'model.train_cfg.rcnn.sampler.num=16',
    'model.test_cfg.rpn.max_per_img=40',
    'model.roi_head.bbox_head.fc_out_channels=64',
    'model.roi_head.mask_head.num_convs=1',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.save_best=None',
)


@pytest.fixture
def no_pretrained(monkeypatch):
    """Looking for a pretrained file fails the test."""

    def refuse(*arguments, **_):
        raise AssertionError(f'a pretrained file was looked for: {arguments}')

    monkeypatch.setattr('fastvit_dense.checkpoints.pretrained.load_pretrained', refuse)
    monkeypatch.setattr('fastvit_dense.checkpoints.download.fetch', refuse)


@pytest.fixture
def wants_pretrained(tiny_instance, tmp_path):
    """The tiny config, starting from a published file."""
    path = tmp_path / 'wants_pretrained.py'
    init = "dict(_delete_=True, type='Pretrained', checkpoint='apple/fastvit_t8')"
    path.write_text(
        f'_base_ = {str(tiny_instance)!r}\nmodel = dict(backbone=dict(init_cfg={init}))\n'
    )
    return path


# --- it works ----------------------------------------------------------------------------------


def test_sample_needs_nothing(run_tool, sample_data, no_pretrained, tmp_path):
    done = run_tool(
        *('train', CONFIG, '--sample', '--work-dir', tmp_path, '--cfg-options'),
        *(*SMALL, *NO_VALIDATION, 'train_dataloader.dataset.indices=4'),
    )
    assert done.status == 0
    assert (tmp_path / 'epoch_1.pth').is_file()
    assert 'random weights' in done.out + done.err
    assert 'eta:' in read_log(tmp_path)


def test_resume_needs_no_pretrained_file(run_tool, wants_pretrained, trained, no_pretrained):
    arguments = ('train', wants_pretrained, '--resume', trained, '--cfg-options', *NO_VALIDATION)
    done = run_tool(*arguments, '--work-dir', wants_pretrained.parent)
    assert done.status == 0
    assert 'resumed epoch: 1, iter: 3' in read_log(wants_pretrained.parent)


def test_own_classes_by_the_command_of_the_docs(run_tool, root_dir, sample_data, tmp_path):
    """docs/own_data.md's own lines, the folder replaced and options that make it small added."""
    command = re.search(r'fastvit-dense (train .*?)\n```', own_data_page(root_dir), re.DOTALL)[1]
    words = shlex.split(command.replace('\\\n', ' ').replace('data/parts/', f'{tmp_path}/parts/'))
    assert words[:3] == ['train', 'maskrcnn_fastvit_t8', '--cfg-options']
    own_dataset(sample_data, tmp_path / 'parts')
    done = run_tool(
        *(*words, *SMALL, 'model.backbone.init_cfg=None'),
        *('val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False'),
        *('val_dataloader.dataset.pipeline.1.scale=(96,96)', '--work-dir', tmp_path / 'work'),
    )
    assert done.status == 0
    checkpoint = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)
    assert checkpoint['meta']['dataset_meta']['classes'] == ['screw', 'nut']
    weights = checkpoint['state_dict']
    assert weights['roi_head.bbox_head.fc_cls.weight'].shape[0] == 3
    assert weights['roi_head.bbox_head.fc_reg.weight'].shape[0] == 8
    assert weights['roi_head.mask_head.conv_logits.weight'].shape[0] == 2
    assert 'Epoch(val) [1][3/3]' in read_log(tmp_path / 'work')
    assert 'bbox_mAP:' in read_log(tmp_path / 'work')


def own_data_page(root_dir):
    text = (root_dir / 'docs/own_data.md').read_text()
    return text[text.index('## Instance segmentation by a config') :]


def own_dataset(sample_data, root):
    """Pictures with names and two categories with ids that only their owner would choose."""
    (root / 'images').mkdir(parents=True)
    for split, source, count in (('train', 'train2017', 4), ('val', 'val2017', 3)):
        content = json.loads(
            (sample_data / f'coco/annotations/instances_{source}.json').read_text()
        )
        content['images'] = content['images'][:count]
        for number, image in enumerate(content['images']):
            name = f'shelf {split} #{number}.JPG'
            shutil.copy(sample_data / 'coco' / source / image['file_name'], root / 'images' / name)
            image['file_name'] = name
        kept = {image['id'] for image in content['images']}
        content['annotations'] = [a for a in content['annotations'] if a['image_id'] in kept]
        for annotation in content['annotations']:
            annotation['category_id'] = 17 if annotation['category_id'] % 2 else 4
        content['categories'] = [{'id': 17, 'name': 'screw'}, {'id': 4, 'name': 'nut'}]
        (root / f'{split}.json').write_text(json.dumps(content))


def test_broken_picture_is_skipped(run_tool, tiny_instance, sample_data, tmp_path):
    """Training goes on with another picture and says which one is broken."""
    content = json.loads(tiny_instance.with_name('train.json').read_text())
    for image in content['images']:
        shutil.copy(sample_data / 'coco/train2017' / image['file_name'], tmp_path)
    broken = tmp_path / content['images'][1]['file_name']
    broken.write_bytes(broken.read_bytes()[:700])
    done = run_tool(
        *('train', tiny_instance, '--work-dir', tmp_path / 'work', '--cfg-options'),
        *(f'train_dataloader.dataset.data_prefix.img={tmp_path}', *NO_VALIDATION),
    )
    assert done.status == 0
    (line,) = [line for line in read_log(tmp_path / 'work').splitlines() if broken.name in line]
    assert 'WARNING' in line
    assert 'truncated after 700 bytes: skipped (broken image 1 of at most 10' in line


# --- a folder that was used before -------------------------------------------------------------


@pytest.fixture
def used(trained_semantic, tmp_path):
    """A work dir in which a training has left checkpoints."""
    for name in ('iter_2.pth', 'iter_4.pth'):
        shutil.copy(trained_semantic.with_name(name), tmp_path)
    shutil.copy(trained_semantic.with_name('iter_2.pth'), tmp_path / 'best_mIoU_iter_2.pth')
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_4.pth')
    return tmp_path


def test_used_folder_is_refused(run_tool, tiny_semantic, used):
    before = {path: path.read_bytes() for path in used.glob('*.pth')}
    done = run_tool('train', tiny_semantic, '--work-dir', used)
    assert_names(done.error, used, 3, 'iter_2.pth', '--resume auto', '--work-dir', '--overwrite')
    assert len(done.error.splitlines()) == 1
    assert {path: path.read_bytes() for path in used.glob('*.pth')} == before


def test_overwrite(run_tool, tiny_semantic, used):
    """Not before the new training begins, and then all that the old one has saved."""
    arguments = ('train', tiny_semantic, '--work-dir', used, '--overwrite', '--cfg-options')
    done = run_tool(*arguments, f'train_dataloader.dataset.data_root={used}/none')
    assert done.status == 1
    assert len(list(used.glob('*.pth'))) == 3
    done = run_tool(*arguments, 'train_cfg.max_iters=1', *NO_VALIDATION)
    assert done.status == 0
    assert [path.name for path in used.glob('*.pth')] == ['iter_1.pth']
    done = run_tool('train', tiny_semantic, '--work-dir', used, '--overwrite', '--resume')
    assert_names(done.error, '--overwrite', '--resume', 'one of them')


def test_overwrite_with_restarts(run_tool, tiny_semantic, used, monkeypatch):
    """A restart would delete what the first start saved."""
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    monkeypatch.setenv('TORCHELASTIC_MAX_RESTARTS', '3')
    arguments = ('train', tiny_semantic, '--work-dir', used, '--overwrite')
    done = run_tool(*arguments, '--launcher', 'pytorch')
    assert_names(done.error, '--overwrite', '--max-restarts=3', '--work-dir', '--resume auto')
    assert len(done.error.splitlines()) == 1
    assert len(list(used.glob('*.pth'))) == 3


def test_resume_skips_what_is_damaged(run_tool, tiny_semantic, used):
    """The newest is cut off, and an older one is not finite; the pointer names a file elsewhere."""
    whole = (used / 'iter_4.pth').read_bytes()
    (used / 'iter_4.pth').write_bytes(whole[:-1000])
    content = torch.load(used / 'iter_2.pth', weights_only=False)
    content['meta']['iter'] = 3
    content['state_dict']['decode_head.conv_seg.weight'][0] = float('nan')
    torch.save(content, used / 'iter_3.pth')
    done = run_tool(
        *('train', tiny_semantic, '--work-dir', used, '--resume', 'auto', '--cfg-options'),
        *('train_cfg.max_iters=3', *NO_VALIDATION),
    )
    assert done.status == 0
    told = done.out + done.err
    assert_names(told, f'skipped {used}/iter_4.pth', 'truncated')
    assert_names(told, f'skipped {used}/iter_3.pth', 'NaN', 'decode_head.conv_seg.weight')
    assert_names(told, f'continuing from {used}/iter_2.pth')
    assert 'resumed epoch: 0, iter: 2' in read_log(used)


def test_second_run_in_a_work_dir(run_tool, tiny_semantic, tmp_path):
    with claimed(tmp_path):
        pid, errors = os.getpid(), tmp_path / 'errors'

        def second():
            done = run_tool('train', tiny_semantic, '--work-dir', tmp_path, '--overwrite')
            errors.write_text(done.error)

        assert in_a_process(second) == 0
    assert_names(errors.read_text(), tmp_path, 'another run', pid)
    assert len(errors.read_text().splitlines()) == 1


def test_disk_that_is_full(run_tool, tiny_semantic, trained_semantic, tmp_path):
    """The second checkpoint does not fit; with more room training goes on from the first."""
    size = trained_semantic.stat().st_size // 1000 * 3 // 2
    with small_disk(tmp_path / 'disk', f'{size}k') as disk:
        arguments = ('train', tiny_semantic, '--work-dir', disk, '--cfg-options', *NO_VALIDATION)
        done = run_tool(*arguments)
        facts = ('iter_4.pth', 'No space left', 'bytes', 'free', f'is {disk}/iter_2.pth')
        assert_names(done.error, *facts)
        assert [path.name for path in disk.glob('.*')] == ['.lock']
        change_disk(disk, f'size={size * 2}k')
        done = run_tool(*arguments, *('--resume', 'auto'))
        assert done.status == 0
        for name in ('iter_2.pth', 'iter_4.pth'):
            one, other = (
                torch.load(path, weights_only=False)['state_dict']
                for path in (disk / name, trained_semantic.with_name(name))
            )
            assert all(torch.equal(one[key], other[key]) for key in one)


# --- it does not, and says why -----------------------------------------------------------------


def test_missing_dataset(run_tool, tmp_path):
    done = run_tool(
        *('train', CONFIG, '--work-dir', tmp_path / 'work', '--cfg-options'),
        f'train_dataloader.dataset.data_root={tmp_path}/coco/',
    )
    assert f'{tmp_path}/coco: no such folder' in done.error
    assert 'https://cocodataset.org' in done.error
    assert '--sample' in done.error
    assert len(done.error.splitlines()) == 1


def test_pretrained_file_without_a_network(run_tool, wants_pretrained, monkeypatch, tmp_path):
    """The address, and where the file can be put instead."""
    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path / 'cache'))
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(name, 'http://127.0.0.1:9')
    monkeypatch.setenv('no_proxy', '')
    done = run_tool('train', wants_pretrained, '--work-dir', tmp_path / 'work')
    name = 'fastvit_t8.pth.tar'
    assert re.search(rf'https://docs-assets\.developer\.apple\.com/\S+/{name}', done.error)
    assert re.search(rf'{tmp_path}/cache/\S+/{name}', done.error)
    assert not (tmp_path / 'work/epoch_1.pth').exists()


def test_categories_that_are_not_the_classes(run_tool, tiny_instance, tmp_path):
    done = run_tool(
        *('train', tiny_instance, '--work-dir', tmp_path, '--cfg-options'),
        'train_dataloader.dataset.metainfo.classes=[person,cat,screw]',
    )
    assert 'train.json' in done.error
    assert 'screw' in done.error


def test_head_with_another_number_of_classes(run_tool, tiny_instance, tmp_path):
    """`num_classes` set by hand in a config whose dataset says otherwise."""
    path = tmp_path / 'config.py'
    path.write_text(
        f'_base_ = {str(tiny_instance)!r}\n'
        'train_dataloader = dict(dataset=dict(metainfo=dict(classes=None)))\n'
        'model = dict(roi_head=dict(bbox_head=dict(num_classes=7)))\n'
    )
    done = run_tool('train', path, '--work-dir', tmp_path)
    assert 'train.json' in done.error or 'num_classes' in done.error


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            [CONFIG, '--cfg-options', 'train_cfg.max_epoch=3'],
            r"unknown key 'max_epoch' of EpochBasedTrainLoop; .* train_cfg\.max_epochs",
        ),
        (['configs/maskrcnn_fastvit_t9.py'], r't9\.py: no such config file; did you mean '),
        ([CONFIG, '--resume', 'none.pth'], r'none\.pth: .*no such'),
        ([TINY, '--launcher', 'slurm'], r'SLURM_PROCID is not set'),
        (
            [CONFIG, '--cfg-options', 'optim_wrapper.optimizer.type=AdamWW'],
            r"no type 'AdamWW' is registered; did you mean 'AdamW'\?",
        ),
        ([TINY, '--cfg-options', 'model.backbone.arch=t9'], r"unknown arch 't9', known are t8, "),
        ([CONFIG, '--cfg-options', 'model.backbone=FastViT'], r'model\.backbone: expected a dict'),
        (
            [SEGMENTOR, '--cfg-options', "model.test_cfg={'mode':'slide','crop_size':(64,64)}"],
            r'model\.test_cfg: expected one option for each key',
        ),
        (
            [CONFIG, '--cfg-options', 'train_dataloader.dataset.metainfo=x'],
            r"metainfo: expected a dict, found 'x'",
        ),
        (
            [SEGMENTOR, '--cfg-options', 'model.test_cfg.mode=slide'],
            r'model\.test_cfg\.crop_size: expected \(height, width\)',
        ),
        *(
            (
                [TINY, '--cfg-options', f'optim_wrapper.optimizer.lr={rate}'],
                rf'optim_wrapper\.optimizer\.lr: .* at most 1e\+30, found {found}$',
            )
            for rate, found in (('1e39', r'1e\+39'), ('1e400', 'inf'))
        ),
        ([TINY, '--cfg-options', 'model.backbone=None'], r'model \(MaskRCNN\): cfg should be'),
        (
            [TINY, '--cfg-options', 'optim_wrapper.optimizer=None'],
            r'optim_wrapper \(OptimWrapper\)',
        ),
        (
            [TINY, '--cfg-options', 'train_cfg.max_epochs=None'],
            r'train_cfg \(ResumableEpochLoop\)',
        ),
    ],
)
def test_wrong_arguments(run_tool, tiny_instance, tmp_path, arguments, message):
    arguments = [tiny_instance if a == TINY else a for a in arguments]
    done = run_tool('train', *arguments, '--work-dir', tmp_path)
    assert re.search(message, done.error)


def test_type_that_nothing_registers(run_tool, tiny_instance, tmp_path):
    """In a config file: the model is built at once, a pipeline only when training starts."""
    for place in ("model = dict(neck=dict(type='FNP'))", "train_cfg = dict(type='EpochBasedLoop')"):
        path = tmp_path / 'config.py'
        path.write_text(f'_base_ = {str(tiny_instance)!r}\n{place}\n')
        done = run_tool('train', path, '--work-dir', tmp_path)
        assert re.search(
            r"config\.py: \S+: no type '\w+' is registered; did you mean '\w", done.error
        )


def test_a_fault_of_the_program_keeps_its_traceback(run_tool, tiny_instance, tmp_path):
    """Only what was raised on purpose is put in one line."""
    with raises_naming(RuntimeError, 'expected input'):
        run_tool(
            *('train', tiny_instance, '--work-dir', tmp_path, '--cfg-options'),
            'model.rpn_head.in_channels=7',
        )


def test_amp_on_a_cpu(run_tool, tiny_instance, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    done = run_tool('train', tiny_instance, '--amp', '--work-dir', tmp_path)
    assert 'ConfigError: --amp: needs a GPU' in done.error


def test_work_dir_that_cannot_be_made(run_tool, tiny_instance, tmp_path):
    (tmp_path / 'file').touch()
    done = run_tool('train', tiny_instance, '--work-dir', tmp_path / 'file/work')
    assert f'{tmp_path}/file' in done.error


def test_error_in_a_terminal(root_dir, tmp_path):
    """One line on stderr and status 1."""
    done = subprocess.run(
        [sys.executable, 'tools/train.py', CONFIG, '--cfg-options', 'modle.arch=t12'],
        cwd=root_dir,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith('ConfigError: --cfg-options modle.arch: unknown key')
    assert line.endswith('is model')
    assert 'Traceback' not in done.stdout + done.stderr
