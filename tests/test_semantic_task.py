"""Semantic segmentation from one end to the other: trained, tested, scored and predicted."""

import json
import re
import shutil

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from fastvit_dense import load_model, reparameterize
from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.datasets.loading import use_checked_loading
from fastvit_dense.engine.distributed import adapt_sync_bn
from fastvit_dense.engine.prediction import predict
from fastvit_dense.engine.scoring import score_predictions
from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train
from fastvit_dense.errors import DataError
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise, relative_error
from tests.facts import assert_names, raises_naming

pytestmark = pytest.mark.integration
CONFIG = 'configs/semfpn_fastvit_t8.py'
CROP = 64
SHORT_SCHEDULE = {
    'train_cfg.max_iters': 3,
    'train_cfg.val_interval': 3,
    'train_dataloader.batch_size': 2,
    'model.backbone.init_cfg': None,
    'model.data_preprocessor.size': (CROP, CROP),
    'train_dataloader.dataset.pipeline.3.scale': (4 * CROP, CROP),
    'train_dataloader.dataset.pipeline.4.crop_size': (CROP, CROP),
    'val_dataloader.dataset.pipeline.1.scale': (4 * CROP, CROP),
    'test_dataloader.dataset.pipeline.1.scale': (4 * CROP, CROP),
    **{
        f'{split}_dataloader.{name}': value
        for split in ('train', 'val', 'test')
        for name, value in (('num_workers', 0), ('persistent_workers', False))
    },
}


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


def write_picture(path, size, seed=0):
    """A picture whose upper part is dark and lower part bright; where the lower one starts."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 90, (*size, 3), dtype=np.uint8)
    row = size[0] // 2 + seed % 3
    image[row:] += 160
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return row


# ----------------------------------------------------------------- ADE20K's layout, the config


SIZES = {
    'training': ((70, 101), (40, 33), (128, 97), (65, 64)),
    'validation': ((75, 111), (96, 50)),
}


@pytest.fixture(scope='module')
def ade(tmp_path_factory):
    """A few pictures in ADE20K's layout: 0 not labelled, 3 sky above 10 grass."""
    root = tmp_path_factory.mktemp('ade')
    for split, sizes in SIZES.items():
        (root / 'annotations' / split).mkdir(parents=True)
        for k, size in enumerate(sizes):
            row = write_picture(root / f'images/{split}/ADE_{k}.jpg', size, k)
            labels = np.full(size, 3, np.uint8)
            labels[row:] = 10
            labels[:2] = 0
            assert cv2.imwrite(str(root / f'annotations/{split}/ADE_{k}.png'), labels)
    return root


def ade_options(root):
    roots = {f'{split}_dataloader.dataset.data_root': root for split in ('train', 'val', 'test')}
    return [f'{key}={value}' for key, value in (SHORT_SCHEDULE | roots).items()]


@pytest.fixture(scope='module')
def trained(ade, tmp_path_factory, root_dir):
    """Work dir of a run of three iterations with the config as it is, sizes apart."""
    work_dir = tmp_path_factory.mktemp('run')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root_dir)
        runner = train(CONFIG, cfg_options=ade_options(ade), work_dir=str(work_dir))
    assert runner.iter == 3
    return work_dir


def test_training_validates_and_keeps_the_best(trained):
    assert (trained / 'iter_3.pth').is_file()
    assert list(trained.glob('best_mIoU_iter_3.pth'))
    (log,) = trained.glob('*/*.log')
    assert 'mIoU' in log.read_text()


@pytest.mark.parametrize('fuse', [False, True])
def test_saved_label_maps_score_what_the_test_scored(trained, ade, tmp_path, fuse):
    arguments = dict(cfg_options=ade_options(ade), work_dir=str(tmp_path))
    saved = tmp_path / 'labels'
    evaluate_checkpoint(
        CONFIG, str(trained / 'iter_3.pth'), fuse=fuse, save_predictions=str(saved), **arguments
    )
    tested = json.loads((tmp_path / 'report.json').read_text())
    assert tested['task'] == 'semantic'
    assert tested['samples'] == 2
    assert set(tested['metrics']) == {'mIoU', 'mAcc', 'aAcc', 'mDice'}
    for k, size in enumerate(SIZES['validation']):
        labels = np.array(Image.open(saved / f'ADE_{k}.png'))
        assert labels.shape == size
        assert labels.min() >= 1  # as ADE20K's server takes them

    assert score_predictions(CONFIG, str(saved), **arguments) == tested['metrics']
    again = json.loads((tmp_path / 'report.json').read_text())
    assert again['metrics'] == tested['metrics']
    assert again['per_class'] == tested['per_class']


def test_equal_names_in_subfolders_and_files_of_an_earlier_run(trained, ade, tmp_path):
    """In the folder where a test of other pictures wrote; what a user put there stays."""
    saved, data = tmp_path / 'work/predictions', tmp_path / 'data'
    for k, folder in enumerate('ab'):
        for kind, ending in (('images', 'jpg'), ('annotations', 'png')):
            target = data / kind / 'validation' / folder / f'1.{ending}'
            target.parent.mkdir(parents=True)
            shutil.copy(ade / kind / 'validation' / f'ADE_{k}.{ending}', target)
    saved.mkdir(parents=True)
    (saved / 'mine.png').write_bytes(b'no label map')
    for root in (ade, data):
        arguments = dict(cfg_options=ade_options(root), work_dir=str(tmp_path / 'work'))
        evaluate_checkpoint(CONFIG, str(trained / 'iter_3.pth'), **arguments)
    report = json.loads((tmp_path / 'work/report.json').read_text())
    assert sorted(str(file.relative_to(saved)) for file in saved.rglob('*.png')) == [
        'a/1.png', 'b/1.png', 'mine.png',
    ]  # fmt: skip
    for k, folder in enumerate('ab'):
        with Image.open(saved / folder / '1.png') as labels:
            assert labels.size == SIZES['validation'][k][::-1]
    assert len(list((tmp_path / 'work/pictures').glob('*.png'))) == 2
    assert score_predictions(CONFIG, str(saved), **arguments) == report['metrics']
    again = json.loads((tmp_path / 'work/report.json').read_text())
    assert again['per_class'] == report['per_class']
    assert len(list((tmp_path / 'work/pictures').glob('*.png'))) == 2


def test_truth_of_saved_label_maps_is_checked_as_in_a_test(trained, ade, tmp_path):
    """16 bits are not wrapped: 259 would be 3."""
    saved, masks = tmp_path / 'labels', tmp_path / 'masks'
    for folder in (saved, masks):
        folder.mkdir()
    for k, size in enumerate(SIZES['validation']):
        Image.fromarray(np.full(size, 3, np.uint8)).save(saved / f'ADE_{k}.png')
        Image.fromarray(np.full(size, 259, np.uint16)).save(masks / f'ADE_{k}.png')
    options = [
        *ade_options(ade),
        f'test_dataloader.dataset.data_prefix.seg_map_path={masks}',
    ]
    with raises_naming(DataError, masks / 'ADE_0.png', '0 to 150', 259):
        score_predictions(CONFIG, str(saved), cfg_options=options, work_dir=str(tmp_path))


def test_prediction_has_the_size_of_the_picture(trained, ade, tmp_path):
    written = predict(
        CONFIG,
        str(trained / 'iter_3.pth'),
        str(ade / 'images/validation'),
        str(tmp_path),
        cfg_options=ade_options(ade),
    )
    assert [path.name for path in written] == ['ADE_0.png', 'ADE_1.png']
    for path, (height, width) in zip(written, SIZES['validation'], strict=True):
        assert Image.open(path).size == (width, height)
        labels = np.array(Image.open(path.with_name(f'{path.stem}_labels.png')))
        content = json.loads(path.with_suffix('.json').read_text())
        assert content['size'] == [height, width] == list(labels.shape)
        assert {c['label'] for c in content['classes']} == set(np.unique(labels).tolist())
        assert sum(c['share'] for c in content['classes']) == pytest.approx(1)


@pytest.mark.parametrize(
    ('size', 'resized', 'aligned'),
    [
        ((512, 683), (512, 683), (512, 704)),
        ((300, 500), (512, 853), (512, 864)),
        ((90, 2000), (92, 2048), (96, 2048)),
        ((33, 31), (545, 512), (576, 512)),
        ((512, 512), (512, 512), (512, 512)),
    ],
)
def test_test_images_are_resized_up_to_multiples_of_32(size, resized, aligned, tmp_path):
    cfg = load_config(CONFIG, pretrained=False)
    path = tmp_path / 'image.png'
    write_picture(path, size)
    Image.fromarray(np.full(size, 3, np.uint8)).save(tmp_path / 'mask.png')
    with DefaultScope.overwrite_default_scope('mmseg'):
        pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    packed = pipeline(
        dict(
            img_path=str(path),
            seg_map_path=str(tmp_path / 'mask.png'),
            reduce_zero_label=True,
            seg_fields=[],
        )
    )
    height, width = resized
    image = mmcv.imresize(mmcv.imread(str(path)), (width, height))
    image = mmcv.imresize(image, aligned[::-1])  # stretched, not padded
    assert np.array_equal(packed['inputs'].permute(1, 2, 0), image)
    sample = packed['data_samples']
    assert sample.img_shape == aligned
    assert sample.ori_shape == size
    assert sample.gt_sem_seg.data.shape == (1, *size)
    assert (sample.gt_sem_seg.data == 2).all()


def test_folded_segmentor_gives_the_same_logits():
    model = load_model(load_config(CONFIG, pretrained=False)).model
    randomise(model)
    image = dict(
        inputs=[torch.randint(0, 256, (3, 96, 160), dtype=torch.uint8)],
        data_samples=[],
    )
    data = model.data_preprocessor(image, False)
    with torch.no_grad():
        expected = model(data['inputs'], mode='tensor')
        folded = reparameterize(model)(data['inputs'], mode='tensor')
    assert expected.shape == (1, 150, 24, 40)
    assert relative_error(folded, expected) < 1e-4
    assert not any('conv_kxk' in name for name in model.state_dict())


def norms_of(cfg):
    return re.findall(r"'(BN|SyncBN)'", str(cfg.model.to_dict()))


@pytest.mark.parametrize('launcher', ['none', 'pytorch'])
def test_norms_fit_the_machine(launcher, monkeypatch, logged):
    cfg = load_config(CONFIG, pretrained=False)
    assert 'SyncBN' in norms_of(cfg)
    cfg.launcher = launcher
    for gpu in (True, False):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda gpu=gpu: gpu)
        adapt_sync_bn(cfg)
        plain = launcher == 'none' or not gpu
        assert ('SyncBN' not in norms_of(cfg)) == plain
        assert ('one process or no GPU: plain BN in place of SyncBN' in logged) == plain


# ---------------------------------------------------------- one's own data, as documented


OWN_SIZES = {'train': ((61, 97), (40, 33), (128, 97), (20, 150)), 'val': ((75, 111), (33, 50))}


@pytest.fixture
def own_config(tmp_path, root_dir):
    """The config of docs/own_data.md as it stands there, and its data: masks of every kind."""
    text = (root_dir / 'docs/own_data.md').read_text()
    blocks = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    (text,) = [block for block in blocks if block.startswith('_base_')]
    root = tmp_path / 'fields'
    text = text.replace("'./semfpn", f"'{root_dir}/configs/semfpn")
    text = text.replace("'data/fields'", repr(str(root)))
    path = tmp_path / 'fields.py'
    path.write_text(text)
    for split, sizes in OWN_SIZES.items():
        (root / 'masks' / split).mkdir(parents=True)
        for k, size in enumerate(sizes):
            row = write_picture(root / f'images/{split}/{k}.jpg', size, k)
            labels = np.zeros(size, np.uint8)
            labels[row:] = 1
            labels[:, -9:] = 2
            write_mask(root / f'masks/{split}/{k}.png', labels, ('8', '16', 'palette')[k % 3])
    return path


def write_mask(path, labels, kind):
    """Class indices as a PNG, one corner ignored."""
    labels[0, 0] = 255
    if kind == '16':
        deep = labels.astype(np.uint16)
        deep[0, 0] = 65535
        Image.fromarray(deep).save(path)
        return
    image = Image.fromarray(labels)
    if kind == 'palette':
        of_the_config = [150, 110, 60, 0, 170, 0, 220, 0, 80]
        image.putpalette(of_the_config + [(5 * k) % 256 for k in range(768 - 9)])
        assert image.mode == 'P'
    image.save(path)


def training_dataset(cfg):
    use_checked_loading(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(cfg.train_dataloader.dataset)


OWN_OPTIONS = [f'{key}={value}' for key, value in SHORT_SCHEDULE.items()]


def test_own_data_is_checked_trained_tested_and_predicted(own_config, tmp_path):
    report = check_config(load_config(own_config, cfg_options=OWN_OPTIONS))
    assert report.errors == report.warnings == []
    assert report.of('train').images_used == 4
    assert list(report.of('train').per_class) == ['soil', 'crop', 'weed']

    work_dir = tmp_path / 'run'
    runner = train(str(own_config), cfg_options=OWN_OPTIONS, work_dir=str(work_dir))
    assert runner.iter == 3
    assert runner.model.decode_head.num_classes == 3
    checkpoint = str(work_dir / 'iter_3.pth')

    arguments = dict(cfg_options=OWN_OPTIONS, work_dir=str(work_dir))
    evaluate_checkpoint(str(own_config), checkpoint, **arguments)
    result = json.loads((work_dir / 'report.json').read_text())
    assert [row['name'] for row in result['per_class']] == ['soil', 'crop', 'weed']
    assert sum(row['pixels'] for row in result['per_class']) == 75 * 111 + 33 * 50 - 2
    again = score_predictions(str(own_config), str(work_dir / 'predictions'), **arguments)
    assert again == result['metrics']

    image = tmp_path / 'fields/images/val/0.jpg'
    model = load_model(load_config(own_config, cfg_options=OWN_OPTIONS), checkpoint)
    found = model(image)
    assert found.labels.shape == (75, 111)
    assert found.labels.max() <= 2
    assert found.palette == [[150, 110, 60], [0, 170, 0], [220, 0, 80]]
    assert np.array_equal(found.labels, Image.open(work_dir / 'predictions/0.png'))


def test_pictures_smaller_than_the_crop_are_padded_with_ignored_pixels(own_config):
    cfg = load_config(own_config, cfg_options=OWN_OPTIONS)
    adapt_sync_bn(cfg)
    cfg.train_dataloader.dataset.pipeline[3].ratio_range = (0.5, 0.5)
    dataset = training_dataset(cfg)
    batch = pseudo_collate([dataset[k] for k in range(4)])
    shapes = [tuple(image.shape[1:]) for image in batch['inputs']]
    assert all(min(shape) < CROP for shape in shapes)
    model = load_model(cfg).model
    data = model.data_preprocessor(batch, True)
    assert data['inputs'].shape == (4, 3, CROP, CROP)
    for sample, (height, width) in zip(data['data_samples'], shapes, strict=True):
        labels = sample.gt_sem_seg.data[0]
        assert labels.shape == (CROP, CROP)
        assert (labels[height:] == 255).all()
        assert (labels[:, width:] == 255).all()
        assert set(labels[:height, :width].unique().tolist()) <= {0, 1, 2, 255}
    loss = sum(v for k, v in model(**data, mode='loss').items() if 'loss' in k)
    assert loss.isfinite()


def mask_of_another_size(root):
    write_mask(root / 'masks/train/0.png', np.zeros((60, 97), np.uint8), '8')
    path = root / 'masks/train/0.png'
    return [path, '97x61', root / 'images/train/0.jpg', '97x60']


def values_outside_the_classes(root):
    write_mask(root / 'masks/train/1.png', np.full((40, 33), 7, np.uint8), 'palette')
    return [root / 'masks/train/1.png', '0 to 2', '3 classes', 7, '1319 pixels']


@pytest.mark.parametrize('damage', [mask_of_another_size, values_outside_the_classes])
def test_a_bad_mask_is_one_error_of_the_check_and_of_the_loader(damage, own_config, tmp_path):
    facts = damage(tmp_path / 'fields')
    cfg = load_config(own_config, cfg_options=OWN_OPTIONS)
    (error,) = check_config(cfg).errors
    assert_names(error, *facts)
    dataset = training_dataset(cfg)
    with raises_naming(DataError, *facts):
        [dataset[k] for k in range(4)]


def test_training_does_not_start_without_a_mask(own_config, tmp_path):
    path = tmp_path / 'fields/masks/train/2.png'
    path.unlink()
    facts = (path, tmp_path / 'fields/images/train/2.jpg', 'found none')
    cfg = load_config(own_config, cfg_options=OWN_OPTIONS)
    (error,) = check_config(cfg).errors
    assert_names(error, *facts)
    dataset = training_dataset(cfg)
    with raises_naming(DataError, path, 'no such file'):
        [dataset[k] for k in range(4)]
    with raises_naming(DataError, *facts):
        train(str(own_config), cfg_options=OWN_OPTIONS, work_dir=str(tmp_path / 'run'))
    assert not list((tmp_path / 'run').glob('*/*.log'))
