"""Two classes, one output under a sigmoid: from training to the exported file."""

import json

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.deploy.export import export
from fastvit_dense.engine.prediction import predict
from fastvit_dense.engine.scoring import score_predictions
from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train

pytestmark = pytest.mark.integration

CONFIG = """
_base_ = '{root}/configs/semfpn_fastvit_t8.py'

model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(init_cfg=None),
    neck=dict(out_channels=32),
    decode_head=dict(
        in_channels=[32] * 4,
        channels=32,
        out_channels=1,
        threshold=0.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_pipeline = [pipeline[0], pipeline[2], pipeline[1], pipeline[3]]
data = dict(
    type='BaseSegDataset',
    data_root='{data}',
    img_suffix='.png',
    reduce_zero_label=False,
    metainfo=dict(classes=('ground', 'crack')),
    data_prefix=dict(img_path='images', seg_map_path='masks'),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline, **data),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=pipeline, **data)
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=2)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
"""


@pytest.fixture
def config(tmp_path, root_dir, quick_logs):
    random = np.random.default_rng(0)
    for folder in ('data/images', 'data/masks'):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(4):
        mask = np.zeros((64, 64), np.uint8)
        mask[10 + number : 40, 20:50] = 1
        picture = (random.integers(0, 80, (64, 64, 3)) + 150 * mask[..., None]).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f'data/images/{number}.png')
        Image.fromarray(mask).save(tmp_path / f'data/masks/{number}.png')
    path = tmp_path / 'binary.py'
    path.write_text(CONFIG.format(root=root_dir, data=tmp_path / 'data'))
    return str(path)


def test_train_test_report_predict_and_export(config, tmp_path, capsys):
    train(config, work_dir=tmp_path / 'run')
    checkpoint = str(tmp_path / 'run/iter_2.pth')
    folder = tmp_path / 'predictions'
    evaluate_checkpoint(
        config, checkpoint, work_dir=tmp_path / 'test', save_predictions=str(folder)
    )
    report = json.loads((tmp_path / 'test/report.json').read_text())
    assert [row['name'] for row in report['per_class']] == ['ground', 'crack']
    assert report['protocol']['classes_scored'] in ('1 of 2', '2 of 2')
    scores = score_predictions(config, str(folder), work_dir=tmp_path / 'scored')
    assert scores == pytest.approx(report['metrics'])
    assert 'over 2 of 2 classes' in (tmp_path / 'scored/report.md').read_text()

    predict(config, checkpoint, str(tmp_path / 'data/images'), str(tmp_path / 'out'))
    with Image.open(tmp_path / 'out/0_labels.png') as found, Image.open(folder / '0.png') as saved:
        assert (np.asarray(found) == np.asarray(saved)).all()

    file = tmp_path / 'binary.onnx'
    assert export(config, checkpoint, 'onnx', file) == 0
    evaluate_checkpoint(config, str(file), work_dir=tmp_path / 'exported')
    exported = json.loads((tmp_path / 'exported/report.json').read_text())
    assert exported['metrics']['mIoU'] == pytest.approx(report['metrics']['mIoU'], abs=0.5)
