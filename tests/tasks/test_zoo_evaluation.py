"""mmdet's configs with metrics of other benchmarks run whole through a test: LVIS, panoptic."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from PIL import Image

from fastvit_dense.datasets.formats.panoptic import id2rgb
from fastvit_dense.engine import evaluate_checkpoint
from fastvit_dense.engine.scoring import score_predictions
from tests.evaluation.test_federated import lvis_file

pytestmark = pytest.mark.integration
OVERRIDE = """
_base_ = 'mmdet::{config}'
model = dict(
    backbone=dict(_delete_=True, type='FastViT', arch='t8'),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root='{root}/', ann_file='{ann}', data_prefix={prefix}),
)
test_evaluator = dict(ann_file='{root}/{ann}'{more})
"""


def write_config(folder, config, ann, prefix, more=''):
    path = folder / 'mine.py'
    path.write_text(OVERRIDE.format(config=config, root=folder, ann=ann, prefix=prefix, more=more))
    return path


def random_weights(path, folder):
    config = Config.fromfile(path)
    torch.manual_seed(0)
    init_default_scope('mmdet')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config.model)
    torch.save({'state_dict': model.state_dict()}, folder / 'random.pth')
    return str(folder / 'random.pth')


def write_images(folder, names, size=(160, 120)):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in names:
        pixels = random.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)


def run(config, folder):
    options = ['test_dataloader.dataset.pipeline.1.scale=(160,120)']
    options += ['model.test_cfg.rpn.max_per_img=30', 'model.test_cfg.rcnn.max_per_img=8']
    weights = random_weights(config, folder)
    evaluate_checkpoint(str(config), weights, cfg_options=options, work_dir=folder / 'run')
    return json.loads((folder / 'run/report.json').read_text())


def test_lvis_through_a_test(tmp_path):
    from mmdet.datasets import LVISV1Dataset

    path, truth, _ = lvis_file(tmp_path, images=2)
    for category, name in zip(truth['categories'], LVISV1Dataset.METAINFO['classes'], strict=True):
        category['name'] = name
    path.write_text(json.dumps(truth))
    write_images(tmp_path / 'val2017', [f'{i:012d}.jpg' for i in (1, 2)])
    config = write_config(
        tmp_path, 'lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py', path.name, "dict(img='')"
    )
    report = run(config, tmp_path)
    assert {'bbox_AP', 'segm_AP', 'segm_APr', 'segm_AR@300'} <= report['metrics'].keys()
    assert len(report['per_class']) == 1203
    assert report['protocol']['images_scored'] == '2 of 2'
    again = score_predictions(str(config), str(tmp_path / 'run/predictions'), work_dir=tmp_path)
    assert again == pytest.approx(report['metrics'])


def test_panoptic_quality_through_a_test(tmp_path):
    from mmdet.datasets import CocoPanopticDataset

    meta = CocoPanopticDataset.METAINFO
    truth = {'images': [], 'annotations': [], 'categories': []}
    for k, name in enumerate(meta['classes']):
        isthing = int(name in meta['thing_classes'])
        truth['categories'].append({'id': k + 1, 'name': name, 'isthing': isthing})
    (tmp_path / 'png').mkdir()
    for i in (1, 2):
        ids = np.full((120, 160), 7)
        ids[20:70, 30:90] = 300
        Image.fromarray(id2rgb(ids)).save(tmp_path / f'png/{i}.png')
        image = {'id': i, 'height': 120, 'width': 160, 'file_name': f'{i}.jpg'}
        truth['images'].append(image)
        segments = [
            {'id': 7, 'category_id': 100, 'iscrowd': 0, 'area': 120 * 160 - 3000, 'bbox': [0] * 4},
            {'id': 300, 'category_id': 1, 'iscrowd': 0, 'area': 3000, 'bbox': [30, 20, 60, 50]},
        ]
        entry = {'image_id': i, 'file_name': f'{i}.png', 'segments_info': segments}
        truth['annotations'].append(entry)
    (tmp_path / 'panoptic.json').write_text(json.dumps(truth))
    write_images(tmp_path / 'img', ['1.jpg', '2.jpg'])
    config = write_config(
        tmp_path,
        'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
        'panoptic.json',
        "dict(img='img/', seg='png/')",
        f", seg_prefix='{tmp_path}/png'",
    )
    report = run(config, tmp_path)
    assert {'PQ', 'SQ', 'RQ', 'PQ_th', 'PQ_st'} <= report['metrics'].keys()
    assert 0 <= report['metrics']['PQ'] < 50
    assert len(report['per_class']) == 133
    for name in ('1', '2'):
        (picture,) = (tmp_path / 'run/pictures').glob(f'*_{name}.png')
        pixels = np.asarray(Image.open(picture))[-120:, -160:]
        assert (pixels[19, 30:90] == 255).all(), 'the edge of the true segment'
    again = score_predictions(str(config), str(tmp_path / 'run/predictions'), work_dir=tmp_path)
    assert again == pytest.approx(report['metrics'])
