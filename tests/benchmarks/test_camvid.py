"""The two configs that are compared on CamVid differ in the backbone alone."""

import torch

from fastvit_dense.inference.predictor import build_model
from fastvit_dense.tasks.config import load_config


def test_only_the_backbone_differs(root_dir):
    folder = root_dir / 'benchmarks/camvid'
    ours, theirs = (
        load_config(str(folder / f'semfpn_{name}.py')) for name in ('fastvit_t8', 'resnet18')
    )
    assert ours.model.backbone.type == 'FastViT'
    assert ours.model.backbone.init_cfg is None
    assert ours.model.backbone.frozen_stages == -1
    assert theirs.model.backbone.type == 'ResNetV1c'
    for cfg in (ours, theirs):
        network = build_model(cfg).eval()
        with torch.no_grad():
            assert network(torch.rand(1, 3, 64, 96))[0].shape[-2:] == (16, 24)
        for part, key in (('backbone', None), ('neck', 'in_channels')):
            cfg.model[part].pop(key) if key else cfg.model.pop(part)
        cfg.pop('work_dir')
    assert ours.to_dict() == theirs.to_dict()
