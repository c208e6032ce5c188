"""Whole runs in seconds: configs of users who inherit from ours, on a few small pictures."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRAIN_IMAGES, VAL_IMAGES = 6, 4

_INSTANCE = """
_base_ = '{root}/configs/maskrcnn_fastvit_t8.py'

classes = {classes}
model = dict(
    backbone=dict(init_cfg=None, drop_path_rate=0.2),
    train_cfg=dict(rpn_proposal=dict(nms_pre=100, max_per_img=40), rcnn=dict(sampler=dict(num=16))),
    # a narrow neck and heads: quick steps, small checkpoints
    neck=dict(out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=64),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(in_channels=32, conv_out_channels=32, num_convs=1),
    ),
    # everything counts as found: there is something to score after three iterations
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=300), rcnn=dict(score_thr=0.0)),
)
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomChoiceResize', scales=[(96, 96), (80, 80)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='{coco}/',
        ann_file='{folder}/train.json',
        metainfo=dict(classes=classes),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root='{coco}/', ann_file='{folder}/val.json', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{folder}/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=8)]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
"""

_SEMANTIC = """
_base_ = '{root}/configs/semfpn_fastvit_t8.py'

classes = {classes}
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(init_cfg=None, drop_path_rate=0.2),
    neck=dict(out_channels=32),
    decode_head=dict(in_channels=[32] * 4, channels=32),
)
train_pipeline = [
    dict(type='SeedSample'),
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(128, 96), ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
data = dict(
    type='BaseSegDataset',
    data_root='{ade}',
    metainfo=dict(classes=classes, palette={palette}),
    reduce_zero_label=True,
)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        indices={train},
        pipeline=train_pipeline,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        **data,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        indices={val},
        pipeline=test_pipeline,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        **data,
    ),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=4, val_interval=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='PolyLR', power=0.9, begin=0, end=40, by_epoch=False)]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=2, save_best=None),
)
"""


def write_instance_config(folder: Path, coco: Path) -> Path:
    """A config of six training and four validation pictures of the sample data."""
    from fastvit_dense.datasets.sample.scene_files import SAMPLE_CLASSES

    _subset(coco / 'annotations/instances_train2017.json', folder / 'train.json', TRAIN_IMAGES)
    _subset(coco / 'annotations/instances_val2017.json', folder / 'val.json', VAL_IMAGES)
    path = folder / 'tiny_instance.py'
    path.write_text(_fill(_INSTANCE, root=ROOT, coco=coco, folder=folder, classes=SAMPLE_CLASSES))
    return path


def write_semantic_config(folder: Path, ade: Path) -> Path:
    """A config of six training and four validation pictures of the sample data."""
    from fastvit_dense.datasets.sample.scene_files import (
        SAMPLE_SEMANTIC_CLASSES,
        SAMPLE_SEMANTIC_PALETTE,
    )

    text = _fill(
        _SEMANTIC,
        root=ROOT,
        ade=ade,
        classes=SAMPLE_SEMANTIC_CLASSES,
        palette=[list(color) for color in SAMPLE_SEMANTIC_PALETTE],
        train=TRAIN_IMAGES,
        val=VAL_IMAGES,
    )
    return _write(folder / 'tiny_semantic.py', text)


def _write(path: Path, text: str) -> Path:
    """Write a config with its bases merged, once: that takes seconds."""
    from mmengine.config import Config

    source = path.with_stem(f'{path.stem}_source')
    source.write_text(text)
    Config.fromfile(source).dump(path)
    return path


def of_variant(arch: str) -> list[str]:
    """Options that put another variant into a Semantic FPN of T8."""
    from fastvit_dense.backbones.variants import VARIANTS

    channels = ','.join(map(str, VARIANTS[arch].embed_dims[:4]))
    return [f'model.backbone.arch={arch}', f'model.neck.in_channels=[{channels}]']


def save_random(config: object, path: Path) -> Path:
    """A checkpoint of random weights in which every BatchNorm and layer scale does something."""
    import torch

    from fastvit_dense import load_model
    from tests.backbones.randomise import randomise

    torch.manual_seed(0)
    torch.save({'state_dict': randomise(load_model(config).model).state_dict()}, path)
    return path


def read_log(work_dir: Path) -> str:
    """The log of the only run, or the runs one after another, of a work dir."""
    return ''.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))


def read_report(work_dir: Path) -> dict:
    """The report.json of a work dir."""
    return json.loads((work_dir / 'report.json').read_text())


def _fill(text: str, **values: object) -> str:
    for name, value in values.items():
        text = text.replace(f'{{{name}}}', str(value))
    return text


def _subset(source: Path, target: Path, count: int) -> None:
    content = json.loads(source.read_text())
    content['images'] = content['images'][:count]
    kept = {image['id'] for image in content['images']}
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] in kept]
    target.write_text(json.dumps(content))
