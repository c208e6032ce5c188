"""Semantic FPN T8 fits three real photographs (real data in ../shared)."""

import json

import pytest

from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train

CONFIG = """
_base_ = '{root}/configs/semfpn_fastvit_t8.py'

size = (288, 384)
iterations = 150
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(init_cfg=None),
    decode_head=dict(dropout_ratio=0.0),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=size[::-1], keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='PackSegInputs'),
]
photos = dict(
    type='BaseSegDataset',
    data_root='{data}',
    data_prefix=dict(img_path='images', seg_map_path='semantic'),
    reduce_zero_label=False,
    metainfo=dict(classes={classes}),
)
train_dataloader = dict(
    batch_size=3,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=pipeline, **photos),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=_base_.test_pipeline, **photos),
)
val_dataloader['dataset']['pipeline'][1]['scale'] = size[::-1]
test_dataloader = val_dataloader
train_cfg = dict(max_iters=iterations, val_interval=iterations)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=iterations, by_epoch=False)
]
default_hooks = dict(logger=dict(interval=10))
"""


@pytest.mark.slow
def test_three_photographs_are_learnt(shared_dir, root_dir, tmp_path):
    data = shared_dir / 'real/voc3'
    if not data.is_dir():
        pytest.skip(f'no photographs at {data}')
    classes = json.loads((data / 'classes.json').read_text())
    text = CONFIG.replace('{root}', str(root_dir)).replace('{data}', str(data))
    config = tmp_path / 'voc3.py'
    config.write_text(text.replace('{classes}', repr(classes)))

    train(str(config), work_dir=str(tmp_path))
    checkpoint = (tmp_path / 'last_checkpoint').read_text().strip()
    evaluate_checkpoint(str(config), checkpoint, work_dir=str(tmp_path))
    report = json.loads((tmp_path / 'report.json').read_text())
    present = [row for row in report['per_class'] if row['pixels']]
    assert [row['name'] for row in present] == [
        '_background_', 'bottle', 'bus', 'car', 'chair', 'person', 'sofa',
    ]  # fmt: skip
    assert sum(row['IoU'] for row in present) / len(present) > 90
    assert report['metrics']['mIoU'] > 90  # a class found where there is none counts as 0
