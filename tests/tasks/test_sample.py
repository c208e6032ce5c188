"""`--sample` over our configs and over the model zoo's."""

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, DefaultScope

from fastvit_dense.backbones.fastvit import FastViT
from fastvit_dense.config.loaders import datasets_of
from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.datasets.loading import use_checked_loading
from fastvit_dense.datasets.sample.scene_files import SAMPLE_SEMANTIC_CLASSES
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from fastvit_dense.tasks.hand import simplify_hands
from fastvit_dense.tasks.sample import grow_layer_scales, shrink
from fastvit_dense.tasks.semantic import SCHEDULES
from tests.facts import raises_naming
from tests.model_zoo import read_overrides

pytestmark = pytest.mark.integration

SEMANTIC_ZOO = {
    **read_overrides('Semantic segmentation'),
    # a list of names, two datasets joined
    'VOC': "_base_ = 'mmseg::upernet/upernet_r50_4xb4-20k_voc12aug-512x512.py'",
    # a dataset repeated 40,000 times, another file suffix
    'CHASE': "_base_ = 'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_chase-db1-128x128.py'",
    # two decode heads; automatic mixed precision
    'OCRNet': "_base_ = 'mmseg::ocrnet/ocrnet_hr18_4xb4-80k_ade20k-512x512.py'\n"
    "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')",
}


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)


def class_counts(node):
    """Every number of classes of the heads of a model."""
    if isinstance(node, list | tuple):
        return {count for child in node for count in class_counts(child)}
    if not isinstance(node, dict):
        return set()
    here = {node['num_classes']} if 'num_classes' in node else set()
    return here.union(*(class_counts(v) for k, v in node.items() if k != 'backbone'))


def test_drawn_sizes_become_those_of_the_sample():
    """RangeAugment's, in proportion; the words that they stand in for stay."""
    words = dict(type='Resize', scale=('width', 'height'))
    loader = dict(
        batch_sampler=dict(
            type='MultiScaleBatchSampler',
            base_size=(1024, 1024),
            min_size=512,
            max_size=(1280,) * 2,
        ),
        dataset=dict(pipeline=[dict(type='AtSampledSize', transforms=[words]), dict(scale=(9, 9))]),
    )
    cfg = Config(dict(model={}, train_dataloader=loader))
    shrink(cfg)
    sampler = cfg.train_dataloader.batch_sampler
    assert (sampler.base_size, sampler.min_size) == ((256, 256), (128, 128))
    assert sampler.max_size == (320, 320)
    drawn, fixed = cfg.train_dataloader.dataset.pipeline
    assert drawn.transforms[0].scale == ('width', 'height')
    assert fixed.scale == (320, 256)


@pytest.mark.parametrize('title', SEMANTIC_ZOO)
def test_semantic_zoo_configs_read_the_sample(title, sample_data, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(SEMANTIC_ZOO[title])
    cfg = load_config(path, sample=True)
    assert check_config(cfg, read_files=False).errors == []
    count = len(SAMPLE_SEMANTIC_CLASSES)
    assert class_counts(cfg.model) == {count}
    if title.startswith('Mask2Former'):
        assert cfg.model.decode_head.loss_cls.class_weight == [1.0] * count + [0.1]
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert set(cfg.optim_wrapper) == {'type', 'optimizer', 'clip_grad'}

    use_checked_loading(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        training = DATASETS.build(cfg.train_dataloader.dataset)
        testing = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(training) == SCHEDULES[None].images
    assert cfg.train_dataloader.batch_size == SCHEDULES[None].batch_size
    assert len(testing) == 50
    for item in (training[0], testing[0]):
        assert max(item['inputs'].shape[1:]) <= 320
        labels = set(item['data_samples'].gt_sem_seg.data.unique().tolist())
        assert labels <= {*range(count), 255}
        assert len(labels) > 1


ON_MOBILEVIT = {
    'xxs': 'deeplabv3_mobilevit_xxs',
    'xs': 'deeplabv3_mobilevit_xs',
    's': 'semfpn_mobilevit_s',
    '0.5': 'semfpn_mobilevitv2_050',
    '1.0': 'semfpn_mobilevitv2_100',
}


@pytest.mark.parametrize('arch', [arch for arch in SCHEDULES if arch])
def test_our_semantic_configs_have_a_schedule_of_their_own(arch, sample_data):
    name = ON_MOBILEVIT.get(arch, f'semfpn_fastvit_{arch}')
    cfg = load_config(f'configs/{name}.py', sample=True)
    schedule = SCHEDULES[arch]
    assert cfg.train_cfg.max_epochs == schedule.epochs
    assert cfg.train_dataloader.dataset.indices == schedule.images <= 200
    assert cfg.optim_wrapper.optimizer.lr == schedule.lr
    assert cfg.param_scheduler[-1].end == schedule.epochs * schedule.images // schedule.batch_size
    assert cfg.model.backbone.init_cfg is None
    assert class_counts(cfg.model) == {len(SAMPLE_SEMANTIC_CLASSES)}
    assert 'expected_results' not in cfg


def test_half_of_the_size_and_objects_that_count(sample_data):
    cfg = load_config('configs/semfpn_fastvit_t8.py', sample=True)
    assert cfg.model.data_preprocessor.size == (128, 128)
    (dataset,) = datasets_of(cfg, ['test_dataloader'])
    assert next(step for step in dataset.pipeline if 'Resize' in step.type).scale == (160, 128)
    weights = dict(
        zip(SAMPLE_SEMANTIC_CLASSES, cfg.model.decode_head.loss_decode.class_weight, strict=True)
    )
    assert weights['coin'] == 4 * weights['grass']


def test_layer_scales_learn_faster():
    network = FastViT('t8')
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.5))))
    grow_layer_scales(cfg)
    groups = build_optim_wrapper(network, cfg.optim_wrapper).optimizer.param_groups
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    found = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert {rate for name, rate in found.items() if 'layer_scale' in name} == {10.0}
    assert {rate for name, rate in found.items() if 'layer_scale' not in name} == {0.5}


def test_hands_stay_as_they_are():
    cfg = load_config('configs/handmesh_fastvit_t8.py', pretrained=False)
    pipeline = cfg.train_dataloader.dataset.pipeline
    simplify_hands(pipeline)
    assert [step.type for step in pipeline] == [
        'SeedSample', 'LoadImageFromFile', 'HandCrop', 'PackHandInputs',
    ]  # fmt: skip
    assert pipeline[2] == dict(type='HandCrop', size=64)


def test_options_come_after_the_sample_settings(sample_data):
    options = ['train_cfg.max_epochs=9', 'train_dataloader.dataset.indices=8']
    cfg = load_config('configs/semfpn_fastvit_t8.py', sample=True, cfg_options=options)
    assert cfg.train_cfg.max_epochs == 9
    assert next(datasets_of(cfg, ['train_dataloader'])).indices == 8


def test_a_config_that_needs_a_missing_package_is_one_error(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("custom_imports = dict(imports=['no_such_package'])")
    with raises_naming(ConfigError, path, 'no_such_package'):
        load_config(path)
    assert isinstance(Config.fromfile(path, import_custom_modules=False), Config)
