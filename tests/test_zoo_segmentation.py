"""mmseg's zoo with FastViT: the documented overrides train and predict on the CPU."""

import pytest
import torch
from mmengine.structures import PixelData

import fastvit_dense  # noqa: F401  (registers FastViT)
from tests.model_zoo import build_model, load_config, predict, read_overrides, train_one_step

pytestmark = pytest.mark.integration
OVERRIDES = read_overrides('Semantic segmentation')
SIZE = (64, 96)


def segmentation_batch():
    """Two random pictures and label maps of four of ADE20K's classes, some pixels ignored."""
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):
        labels = torch.randint(0, 4, (1, 8, 12), generator=generator)
        labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
        labels[:, :3] = 255
        metainfo = dict(img_shape=SIZE, ori_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE)
        sample = SegDataSample(metainfo=metainfo)
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    images = [torch.randint(0, 256, (3, *SIZE), generator=generator).byte() for _ in samples]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('title', OVERRIDES)
def test_override_trains_and_predicts(title, tmp_path):
    config = load_config(OVERRIDES[title], tmp_path)
    config.model.data_preprocessor.size = SIZE
    if 'num_queries' in config.model.decode_head:
        config.model.decode_head.num_queries = 20
        config.model.decode_head.train_cfg.num_points = 64
    model = build_model(config)
    train_one_step(model, segmentation_batch())

    results = predict(model, segmentation_batch())
    assert len(results) == 2
    for result in results:
        logits, labels = result.seg_logits.data, result.pred_sem_seg.data
        assert logits.shape == (150, *SIZE)
        assert logits.isfinite().all()
        assert torch.equal(labels[0], logits.argmax(0))


def test_the_promised_models_are_documented():
    assert set(OVERRIDES) == {
        'UPerNet',
        'SegFormer',
        'DeepLabV3+',
        'PSPNet',
        'Mask2Former (semantic)',
    }
