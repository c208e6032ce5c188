"""The shipped T8 configs on real data (../shared): checked, trained, tested, predicted, scored."""

import json
import shutil

import pytest

from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.engine.prediction import predict
from fastvit_dense.engine.scoring import score_predictions
from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train
from fastvit_dense.tasks.config import load_config

pytestmark = [pytest.mark.slow, pytest.mark.integration]

COCO = """
_base_ = '{root}/configs/maskrcnn_fastvit_t8.py'

scale = (256, 192)
data = '{data}/'
model = dict(
    backbone=dict(init_cfg=None),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=50), rcnn=dict(sampler=dict(num=32))
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(score_thr=0.0, max_per_img=10)
    ),
)
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(indices=4, data_root=data)
)
train_dataloader['dataset']['pipeline'] = _base_.train_pipeline
train_dataloader['dataset']['pipeline'][3]['scale'] = scale
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(indices=2, data_root=data)
)
val_dataloader['dataset']['pipeline'] = _base_.test_pipeline
val_dataloader['dataset']['pipeline'][1]['scale'] = scale
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
"""
CAMVID = """
_base_ = '{root}/configs/semfpn_fastvit_t8.py'

size = (96, 128)
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(init_cfg=None),
    decode_head=dict(num_classes=11),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=size[::-1], keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='PackSegInputs'),
]
streets = dict(
    type='BaseSegDataset',
    data_root='{data}',
    reduce_zero_label=False,
    metainfo=dict(classes={classes}, palette={palette}),
)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = size[::-1]
def loader(split, count, pipeline, **settings):
    prefix = dict(img_path='images/' + split, seg_map_path='masks/' + split)
    dataset = dict(indices=count, pipeline=pipeline, data_prefix=prefix, **streets)
    return dict(num_workers=0, persistent_workers=False, dataset=dataset, **settings)


train_dataloader = loader('train', 4, pipeline, batch_size=2)
val_dataloader = loader('val', 2, test_pipeline)
test_dataloader = loader('test', 2, test_pipeline)
del loader
train_cfg = dict(max_iters=2, val_interval=2)
"""
# what is rightly told of the 288 + 158 photos of COCO: some of the 80 classes are in none of a
# split, and objects that stand out of their photo by up to a pixel are clipped
TRUE_WARNINGS = {'class_absent', 'outside'}


@pytest.mark.parametrize(
    ('name', 'text', 'metric', 'pictures'),
    [('coco_mini', COCO, 'bbox_mAP', 'val2017'), ('camvid', CAMVID, 'mIoU', 'images/test')],
)
def test_the_whole_path(shared_dir, root_dir, tmp_path, monkeypatch, name, text, metric, pictures):
    data = shared_dir / 'real' / name
    if not data.is_dir():
        pytest.skip(f'no real data at {data}')
    monkeypatch.chdir(root_dir)
    values = {'root': root_dir, 'data': data}
    if name == 'camvid':
        described = json.loads((data / 'classes.json').read_text())
        values |= {'classes': described['classes'], 'palette': described['palette']}
    for key, value in values.items():
        text = text.replace(f'{{{key}}}', str(value))
    config = tmp_path / f'{name}.py'
    config.write_text(text)

    report = check_config(load_config(str(config), pretrained=False))
    assert report.errors == []
    assert {f.kind for f in report.findings('warning')} <= TRUE_WARNINGS, report.warnings

    train(str(config), work_dir=str(tmp_path / 'run'))
    checkpoint = (tmp_path / 'run' / 'last_checkpoint').read_text().strip()
    evaluate_checkpoint(
        str(config),
        checkpoint,
        work_dir=str(tmp_path / 'test'),
        save_predictions=str(tmp_path / 'saved'),
    )
    tested = json.loads((tmp_path / 'test' / 'report.json').read_text())
    assert tested['samples'] == 2
    assert 0 <= tested['metrics'][metric] <= 100
    scored = score_predictions(
        str(config), str(tmp_path / 'saved'), work_dir=str(tmp_path / 'scored')
    )
    assert scored[metric] == pytest.approx(tested['metrics'][metric], abs=1e-6)

    few = tmp_path / 'few'
    few.mkdir()
    for path in sorted((data / pictures).iterdir())[:2]:
        shutil.copy(path, few)
    predict(str(config), checkpoint, str(few), str(tmp_path / 'predicted'))
    assert len(list((tmp_path / 'predicted').glob('*.json'))) == 2
