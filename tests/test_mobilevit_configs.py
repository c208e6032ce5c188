"""The MobileViT configs: folding of each, and of each kind the way from training to a file."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from fastvit_dense import MobileViT, load_model, reparameterize
from fastvit_dense.backbones.mobilevit_variants import MOBILEVIT_VARIANTS
from fastvit_dense.deploy.export import export
from fastvit_dense.engine.prediction import predict
from fastvit_dense.engine.scoring import score_predictions
from fastvit_dense.engine.testing import evaluate_checkpoint
from fastvit_dense.engine.training import train
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise, relative_error
from tests.tiny import read_report

pytestmark = pytest.mark.integration
CONFIGS = sorted(path.stem for path in Path(__file__).parents[1].glob('configs/*mobilevit*.py'))
# of each kind the lightest: a way of its own through heads, data and export
FOLDED = (
    *('deeplabv3_mobilevit_xxs', 'deeplabv3_mobilevit_xxs_ade20k', 'handmesh_mobilevit_s'),
    *('maskrcnn_mobilevitv2_050', 'semfpn_mobilevitv2_050', 'ssdlite_mobilevit_xxs'),
)
TRAINED = ('deeplabv3_mobilevit_xxs', 'ssdlite_mobilevit_xxs')
FEW = [
    'train_dataloader.dataset.indices=4',
    *(f'{split}_dataloader.dataset.indices=3' for split in ('val', 'test')),
    *(
        f'{split}_dataloader.{name}'
        for split in ('train', 'val', 'test')
        for name in ('num_workers=0', 'persistent_workers=False')
    ),
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
]
# everything counts as found: there is something to score after two steps
ANY_SCORE = {
    'ssdlite': ['model.test_cfg.score_thr=0.0'],
    'maskrcnn': ['model.test_cfg.rcnn.score_thr=0.0'],
}


def others_slow(quick):
    return [c if c in quick else pytest.param(c, marks=pytest.mark.slow) for c in CONFIGS]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


@pytest.mark.parametrize('name', others_slow(FOLDED))
@torch.no_grad()
def test_folding_changes_nothing(name):
    """Its own settings: input of 0-1, in_channels, dilation; odd sizes too."""
    options = ['model.mano.standin=True'] if name.startswith('handmesh') else []
    cfg = load_config(name, pretrained=False, cfg_options=options)
    model = randomise(load_model(cfg, device='cpu').model.eval())
    assert model.data_preprocessor.mean.tolist() == [[[0.0]]] * 3
    assert model.data_preprocessor.std.tolist() == [[[255.0]]] * 3
    images = torch.rand(1, 3, 96, 131, generator=torch.Generator().manual_seed(0))
    read = getattr(model, 'extract_feat', model.backbone)
    before = read(images)
    reparameterize(model)
    after = read(images)
    assert len(before) == len(after)
    assert max(map(relative_error, after, before)) < 1e-4
    assert model.backbone.stem.bn is None


def test_configs_agree_with_the_backbone():
    """in_channels are the backbone's, BN policy, decay, dropout and weights are explicit."""
    for name in CONFIGS:
        cfg = load_config(name, pretrained=True)
        backbone = cfg.model.backbone
        settings = {k: v for k, v in backbone.items() if k not in ('type', 'init_cfg')}
        with torch.device('meta'):
            channels = MobileViT(**settings).out_channels
        reader = next(cfg.model[k] for k in ('neck', 'decode_head', 'head') if cfg.model.get(k))
        found = reader.in_channels
        assert (tuple(found) if isinstance(found, list | tuple) else found) in (
            channels,
            channels[-1],
        ), name
        assert {'norm_cfg', 'norm_eval', 'out_norm', 'dropout'} <= set(backbone), name
        assert 'weight_decay' in cfg.optim_wrapper.optimizer, name
        assert backbone.arch in MOBILEVIT_VARIANTS
        assert backbone.init_cfg.checkpoint.startswith('timm/mobilevit'), name


def test_published_values_stand_in_the_configs(shared_dir):
    """MobileViT paper, CVNets' pages and RangeAugment."""
    text = (shared_dir / 'reference/dense_recipes.md').read_text(encoding='utf-8')
    for config, metric, printed in (
        ('ssdlite_mobilevit_xs', 'bbox_mAP', 'XS 24.8 mAP'),
        ('ssdlite_mobilevit_s', 'bbox_mAP', 'S 27.7 (5.7 M)'),
        ('deeplabv3_mobilevit_xxs', 'mIoU', 'XXS 73.6 (1.9 M)'),
        ('deeplabv3_mobilevit_xs', 'mIoU', 'XS 77.1 (2.9 M)'),
        ('deeplabv3_mobilevit_s', 'mIoU', 'S 79.1 (6.4 M)'),
        ('deeplabv3_mobilevit_s_os8', 'mIoU', '79.44 (8.5 M)'),
        ('deeplabv3_mobilevit_s_ade20k', 'mIoU', '38.5 mIoU'),
        ('maskrcnn_mobilevit_s', 'bbox_mAP', '42.0 box'),
        ('maskrcnn_mobilevit_s', 'segm_mAP', '37.7 mask'),
    ):
        assert printed in text
        number = next(float(word) for word in printed.split() if '.' in word)
        expected = {e['metric']: e['value'] for e in load_config(config).expected_results}
        scale = 1 if metric == 'mIoU' else 100
        assert expected[metric] * scale == pytest.approx(number), config


@pytest.mark.parametrize(
    ('name', 'millions'),
    [
        ('ssdlite_mobilevit_xxs', 1.8),
        ('ssdlite_mobilevit_xs', 2.7),
        ('ssdlite_mobilevit_s', 5.7),
        ('deeplabv3_mobilevit_xxs', 1.9),
        ('deeplabv3_mobilevit_xs', 2.9),
        ('deeplabv3_mobilevit_s', 6.4),
        ('deeplabv3_mobilevit_s_os8', 8.5),
    ],
)
def test_sizes_are_the_published_ones(name, millions):
    """The auxiliary head, which prediction does not use, aside; CVNets counts none either."""
    from mmengine.registry import MODELS, DefaultScope, init_default_scope

    cfg = load_config(name, pretrained=False)
    cfg.model.pop('auxiliary_head', None)
    init_default_scope(cfg.default_scope)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize('name', others_slow(TRAINED))
def test_from_training_to_a_file(name, tmp_path, quick_logs, sample_data, capsys):
    """With `--sample`, cut short: trained, tested, scored again, predicted, exported, tested so."""
    options = FEW + ANY_SCORE.get(name.partition('_')[0], [])
    common = dict(sample=True, cfg_options=options)
    train(name, work_dir=str(tmp_path / 'run'), **common)
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    saved = tmp_path / 'predictions'
    evaluate_checkpoint(
        name,
        checkpoint,
        work_dir=str(tmp_path / 'test'),
        save_predictions=str(saved),
        fuse=True,
        **common,
    )
    report = read_report(tmp_path / 'test')
    assert report['samples'] == 3
    assert report['protocol']['form'] == 'reparameterized'
    boxes_only = name.startswith('ssdlite')
    assert ('segm_mAP' in report['metrics']) == name.startswith('maskrcnn')
    assert ('bbox_mAP' in report['metrics']) == (boxes_only or name.startswith('maskrcnn'))
    if not name.startswith(('handmesh', 'deeplabv3')):  # label maps: test_binary_segmentation.py
        found = score_predictions(name, saved, work_dir=str(tmp_path / 'again'), **common)
        for metric, value in report['metrics'].items():
            assert found[metric] == pytest.approx(value, nan_ok=True), metric

    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    shutil.copy(next((sample_data / 'coco/val2017').glob('*.jpg')), pictures / 'a.jpg')
    predict(name, checkpoint, str(pictures), str(tmp_path / 'out'), fuse=True, **common)
    result = json.loads((tmp_path / 'out/a.json').read_text())
    if boxes_only:
        assert len(result['instances']) == 200
        assert set(result['instances'][0]) == {'bbox', 'score', 'label', 'class', 'category_id'}
    assert (tmp_path / 'out/a.png').is_file()

    file = tmp_path / 'model.onnx'
    assert export(name, checkpoint, 'onnx', file, **common) == 0, capsys.readouterr().out
    evaluate_checkpoint(name, str(file), work_dir=str(tmp_path / 'exported'), **common)
    for metric, value in read_report(tmp_path / 'exported')['metrics'].items():
        tolerance = 2 if metric in ('mIoU', 'mAcc', 'aAcc', 'mDice') else 0.05
        assert value == pytest.approx(report['metrics'][metric], abs=tolerance, nan_ok=True), metric
