"""Published results beside which a report puts ours: the paper's rows and its peers'.

The tables hold the numbers as they were printed (AP and mIoU in percent); `find_references`
gives them under the project's metric names and in their units.
"""

from dataclasses import dataclass
from typing import Any

TABLE_10 = 'FastViT paper (ICCV 2023), Table 10'
TABLE_9 = 'FastViT paper (ICCV 2023), Table 9'
TABLE_8 = 'FastViT paper (ICCV 2023), Table 8'
IFORMER = 'iFormer paper, Tables 5 and 13'
REPVIT = 'RepViT paper (CVPR 2024), Table 5'
SWIFTFORMER = 'SwiftFormer paper, Table 3'
WILOR = 'WiLoR paper (CVPR 2025)'
MOBILEVIT_1 = 'MobileViT paper (ICLR 2022), Table 1'
MOBILEVIT_2 = 'MobileViT paper (ICLR 2022), Table 2'
CVNETS_1 = 'CVNets 0.1, examples/README-mobilevit.md'
CVNETS_2 = 'CVNets 0.2, README-model-zoo.md'
RANGE_AUGMENT = 'RangeAugment paper'

NOTES = {
    'EfficientFormerV2-S2': 'backbone trained for 450 epochs',
    'EfficientFormerV2-L': 'backbone trained for 450 epochs',
    'RepViT-M2.3': 'backbone trained for 450 epochs',
    'iFormer-L2': 'backbone trained for 450 epochs',
    'HaMeR': 'ViT-H, 2.7 million training images',
    'WiLoR': 'ViT-L, 4.2 million training images',
    'simpleHand': 'free vertices; crops from ground-truth joints',
    'TokenHand': 'free vertices',
}

# Variants for which the paper has no dense results, and the rows of the nearest size.
NEAREST = {
    't8': 'sa12',
    't12': 'sa12',
    's12': 'sa12',
    'mci0': 'sa12',
    'mci1': 'sa24',
    'mci2': 'sa36',
}


@dataclass(frozen=True)
class Published:
    """Published results of a task.

    Attributes:
        dataset: Name of the data that the rows were measured on.
        split: Part of it.
        other_splits: Other names of that part.
        samples: Number of its images.
        method: What the backbones were put into.
        metrics: Public names of the numbers of a row, in order.
        rows: As printed. With `by_size`: group, backbone, parameters of the backbone in millions,
            the numbers, source; else: method, backbone, the numbers (None: not printed), source.
        by_size: Whether backbones of about the same size stand together.
        by_method: Whether the first column of a row that is not the paper's is its method.
        scale: What a printed number is multiplied with to be in the metric's unit.
    """

    dataset: str
    split: str
    other_splits: tuple[str, ...]
    samples: int
    method: str
    metrics: tuple[str, ...]
    rows: tuple[tuple, ...]
    by_size: bool = True
    by_method: bool = False
    scale: float = 1.0


INSTANCE = Published(
    dataset='COCO',
    split='val2017',
    other_splits=('minival2017', 'minival'),
    samples=5000,
    method='Mask R-CNN, 1x',
    metrics=(
        'bbox_mAP',
        'bbox_mAP_50',
        'bbox_mAP_75',
        'segm_mAP',
        'segm_mAP_50',
        'segm_mAP_75',
    ),
    # group, backbone, parameters, box AP, AP50, AP75, mask AP, AP50, AP75, source
    rows=(
        ('sa12', 'ResNet-18', 11.7, 34.0, 54.0, 36.7, 31.2, 51.0, 32.7, IFORMER),
        ('sa12', 'PoolFormer-S12', 11.9, 37.3, 59.0, 40.1, 34.6, 55.8, 36.9, TABLE_10),
        ('sa12', 'EfficientFormer-L1', 12.3, 37.9, 60.3, 41.0, 35.4, 57.3, 37.3, IFORMER),
        ('sa12', 'FastViT-SA12', 10.9, 38.9, 60.5, 42.2, 35.9, 57.6, 38.1, TABLE_10),
        ('sa12', 'RepViT-M1.1', 8.2, 39.8, 61.9, 43.5, 37.2, 58.8, 40.1, REPVIT),
        ('sa12', 'iFormer-M', 8.9, 40.8, 62.5, 44.8, 37.9, 59.7, 40.7, IFORMER),
        ('sa12', 'SwiftFormer-L1', 12.1, 41.2, 63.2, 44.8, 38.1, 60.2, 40.7, SWIFTFORMER),
        ('sa24', 'ResNet-50', 25.5, 38.0, 58.6, 41.4, 34.4, 55.1, 36.7, TABLE_10),
        ('sa24', 'PoolFormer-S24', 21.4, 40.1, 62.2, 43.4, 37.0, 59.1, 39.6, TABLE_10),
        ('sa24', 'ConvNeXt-T', 29.0, 41.0, 62.1, 45.3, 37.7, 59.3, 40.4, IFORMER),
        ('sa24', 'EfficientFormer-L3', 31.3, 41.4, 63.9, 44.7, 38.1, 61.0, 40.4, IFORMER),
        ('sa24', 'RepViT-M1.5', 14.0, 41.6, 63.2, 45.3, 38.6, 60.5, 41.5, REPVIT),
        ('sa24', 'PVTv2-B1', 14.0, 41.8, 64.3, 45.9, 38.8, 61.2, 41.6, IFORMER),
        ('sa24', 'FastViT-SA24', 20.6, 42.0, 63.5, 45.8, 38.0, 60.5, 40.5, TABLE_10),
        ('sa24', 'Swin-T', 28.3, 42.2, 64.6, 46.2, 39.1, 61.6, 42.0, TABLE_10),
        ('sa24', 'iFormer-L', 14.7, 42.2, 64.2, 46.0, 39.1, 61.4, 41.9, IFORMER),
        ('sa24', 'SwiftFormer-L3', 28.5, 42.7, 64.4, 46.7, 39.1, 61.7, 41.8, SWIFTFORMER),
        ('sa36', 'ResNet-101', None, 40.0, 60.5, 44.0, 36.1, 57.5, 38.6, TABLE_10),
        ('sa36', 'PoolFormer-S36', 30.9, 41.0, 63.1, 44.8, 37.7, 60.1, 40.0, TABLE_10),
        ('sa36', 'Twins-SVT-S', None, 42.7, 65.6, 46.7, 39.6, 62.5, 42.6, TABLE_10),
        ('sa36', 'EfficientFormerV2-S2', 12.6, 43.4, 65.4, 47.5, 39.5, 62.4, 42.2, REPVIT),
        ('sa36', 'FastViT-SA36', 30.4, 43.8, 65.1, 47.9, 39.4, 62.0, 42.3, TABLE_10),
        ('ma36', 'CMT-S', None, 44.6, 66.8, 48.9, 40.7, 63.9, 43.4, TABLE_10),
        ('ma36', 'RepViT-M2.3', 22.9, 44.6, 66.1, 48.8, 40.8, 63.6, 43.9, REPVIT),
        ('ma36', 'iFormer-L2', 24.5, 44.6, 66.7, 49.1, 41.1, 64.0, 44.1, IFORMER),
        ('ma36', 'EfficientFormerV2-L', 26.1, 44.7, 66.3, 48.8, 40.4, 63.5, 43.2, REPVIT),
        ('ma36', 'FastViT-MA36', 42.7, 45.1, 66.8, 49.5, 40.5, 63.8, 43.4, TABLE_10),
    ),
    scale=0.01,
)

SEMANTIC = Published(
    dataset='ADE20K',
    split='validation',
    other_splits=('val',),
    samples=2000,
    method='Semantic FPN',
    metrics=('mIoU',),
    # group, backbone, parameters, mIoU, source
    rows=(
        ('sa12', 'ResNet-18', 11.7, 32.9, IFORMER),
        ('sa12', 'PoolFormer-S12', 11.9, 37.2, TABLE_9),
        ('sa12', 'FastViT-SA12', 10.9, 38.0, TABLE_9),
        ('sa12', 'EfficientFormer-L1', 12.3, 38.9, IFORMER),
        ('sa12', 'RepViT-M1.1', 8.2, 40.6, REPVIT),
        ('sa12', 'SwiftFormer-L1', 12.1, 41.4, SWIFTFORMER),
        ('sa12', 'iFormer-M', 8.9, 42.4, IFORMER),
        ('sa24', 'ResNet-50', 25.5, 36.7, TABLE_9),
        ('sa24', 'PVT-Small', None, 39.8, TABLE_9),
        ('sa24', 'PoolFormer-S24', 21.4, 40.3, TABLE_9),
        ('sa24', 'FastViT-SA24', 20.6, 41.0, TABLE_9),
        ('sa24', 'ConvNeXt-T', 29.0, 41.4, IFORMER),
        ('sa24', 'Swin-T', 28.3, 41.5, IFORMER),
        ('sa24', 'PVTv2-B1', 14.0, 42.5, IFORMER),
        ('sa24', 'EfficientFormer-L3', 31.3, 43.5, IFORMER),
        ('sa24', 'RepViT-M1.5', 14.0, 43.6, REPVIT),
        ('sa24', 'SwiftFormer-L3', 28.5, 43.9, SWIFTFORMER),
        ('sa24', 'iFormer-L', 14.7, 44.5, IFORMER),
        ('sa36', 'ResNet-101', None, 38.8, TABLE_9),
        ('sa36', 'PVT-Medium', None, 41.6, TABLE_9),
        ('sa36', 'PoolFormer-S36', 30.9, 42.0, TABLE_9),
        ('sa36', 'EfficientFormerV2-S2', 12.6, 42.4, REPVIT),
        ('sa36', 'FastViT-SA36', 30.4, 42.9, TABLE_9),
        ('ma36', 'PoolFormer-M36', None, 42.4, TABLE_9),
        ('ma36', 'FastViT-MA36', 42.7, 44.6, TABLE_9),
        ('ma36', 'EfficientFormerV2-L', 26.1, 45.2, REPVIT),
        ('ma36', 'RepViT-M2.3', 22.9, 46.1, REPVIT),
        ('ma36', 'iFormer-L2', 24.5, 46.2, IFORMER),
    ),
)

HAND = Published(
    dataset='FreiHAND',
    split='evaluation',
    other_splits=('eval',),
    samples=3960,
    method='MANO regression',
    metrics=('PA-MPJPE', 'PA-MPVPE', 'f_al_score_5', 'f_al_score_15'),
    # method, backbone, aligned joint error and vertex error in mm, F-score at 5 and 15 mm, source
    rows=(
        ('MobileHand', 'MobileNetV3', None, 13.1, 0.439, 0.902, TABLE_8),
        ('I2L-MeshNet', 'ResNet-50', 7.4, 7.6, 0.681, 0.973, TABLE_8),
        ('MobRecon', 'DenseStack', 6.9, 7.2, 0.694, 0.979, TABLE_8),
        ('CMR', 'ResNet-50', 6.9, 7.0, 0.715, 0.977, TABLE_8),
        ('FastViT paper', 'FastViT-MA36', 6.6, 6.7, 0.722, 0.981, TABLE_8),
        (
            'METRO, single scale',
            'HRNet-W64',
            6.6,
            6.7,
            0.721,
            0.981,
            "METRO's docs/EXP.md",
        ),
        ('WiLoR recipe', 'FastViT', 6.5, 6.3, 0.741, 0.967, f'{WILOR}, ablation'),
        ('HaMeR', 'ViT-H', 6.0, 5.7, 0.785, 0.990, WILOR),
        ('simpleHand', 'FastViT-MA36', 5.7, 6.0, 0.772, 0.986, 'simpleHand paper and README'),
        ('TokenHand', 'FastViT-MA36', 5.7, 5.9, 0.768, None, 'TokenHand paper (CVPR 2026)'),
        ('WiLoR', 'ViT-L', 5.5, 5.1, 0.825, 0.993, WILOR),
    ),
    by_size=False,
    by_method=True,
)

# --- MobileViT: name, backbone, the numbers, source

SSDLITE = Published(
    dataset='COCO',
    split='val2017',
    other_splits=INSTANCE.other_splits,
    samples=5000,
    method='SSDLite, 320x320',
    metrics=('bbox_mAP',),
    rows=(
        ('CVNets 0.1', 'MobileViT-XXS', 19.9, CVNETS_1),
        ('MobileNetV3', 'MobileNetV3', 22.0, MOBILEVIT_1),
        ('MNASNet', 'MNASNet', 23.0, MOBILEVIT_1),
        ('MobileViT paper', 'MobileViT-XS', 24.8, MOBILEVIT_1),
        ('MobileViT paper', 'MobileViT-S', 27.7, MOBILEVIT_1),
        ('CVNets 0.1', 'MobileViT-S', 27.9, CVNETS_1),
    ),
    by_size=False,
    scale=0.01,
)

MASK_RCNN_RANGE_AUGMENT = Published(
    dataset='COCO',
    split='val2017',
    other_splits=INSTANCE.other_splits,
    samples=5000,
    method='Mask R-CNN, 100 epochs, 512 to 1280 pixels',
    metrics=('bbox_mAP', 'segm_mAP'),
    rows=(
        ('RangeAugment paper', 'MobileViT-S', 42.0, 37.7, RANGE_AUGMENT),
        ('RangeAugment paper', 'ResNet-50', 44.0, 39.5, RANGE_AUGMENT),
    ),
    by_size=False,
    scale=0.01,
)

DEEPLABV3_VOC = Published(
    dataset='PASCAL VOC 2012',
    split='val',
    other_splits=('validation',),
    samples=1449,
    method='DeepLabv3, with SBD and pictures of COCO',
    metrics=('mIoU',),
    rows=(
        ('CVNets 0.1', 'MobileViT-XXS', 72.8, CVNETS_1),
        ('MobileViT paper', 'MobileViT-XXS', 73.6, MOBILEVIT_2),
        ('MobileViT paper', 'MobileViT-XS', 77.1, MOBILEVIT_2),
        ('MobileViT paper', 'MobileViT-S', 79.1, MOBILEVIT_2),
        ('CVNets 0.1', 'MobileViT-S', 79.3, CVNETS_1),
        ('CVNets 0.2, output stride 8', 'MobileViT-S', 79.44, CVNETS_2),
    ),
    by_size=False,
)

DEEPLABV3_ADE20K = Published(
    dataset='ADE20K',
    split='validation',
    other_splits=('val',),
    samples=2000,
    method='DeepLabv3, output stride 8',
    metrics=('mIoU',),
    rows=(
        ('RangeAugment paper', 'MobileViT-S', 38.5, RANGE_AUGMENT),
        ('RangeAugment paper', 'MobileNetV2', 38.6, RANGE_AUGMENT),
        ('RangeAugment paper', 'ResNet-50', 44.0, RANGE_AUGMENT),
    ),
    by_size=False,
)


def is_sample(dataset: str) -> bool:
    """Tell whether a result's dataset name says that it is the project's embedded sample data."""
    return 'sample' in dataset.lower()


def why_not_comparable(
    published: Published, dataset: str, samples: int, standin: bool = False, split: str = ''
) -> str:
    """Tell why published rows were measured otherwise than this result; empty if alike."""
    where = f'{published.dataset} {published.split} ({published.samples:,} images)'
    if is_sample(dataset):
        return f'measured on {where}, not on the sample data'
    if standin:
        return f'measured on {where} with MANO, not with the stand-in hand'
    splits = (published.split, *published.other_splits)
    same_split = not split or split.lower().removeprefix('instances_') in splits
    named, wanted = (''.join(name.lower().split()) for name in (dataset, published.dataset))
    same_name = named.startswith(wanted)
    if same_name and samples == published.samples and same_split:
        return ''
    found = dataset if same_split else f'{dataset} {split}'
    return f'measured on {where}; this result is on {samples:,} images of {found}'


def find_references(
    published: Published | None,
    dataset: str,
    samples: int,
    arch: str | None = None,
    standin: bool = False,
    split: str = '',
) -> list[dict[str, Any]]:
    """Published rows for a result, ordered from the weakest to the strongest.

    Args:
        published: The task's published results; None: there are none.
        dataset: Dataset name of the result.
        samples: Number of images that the result covers; published rows on another number of
            images are marked as not comparable.
        arch: Variant of the model, as `backbone_arch` gives it. The rows are those of
            backbones of that size. None: the paper's own rows of all sizes; a variant without
            any published neighbour (MCi3, MCi4): no rows.
        standin: Whether the stand-in hand made the result, in MANO's place.
        split: Part of the dataset, as `EvaluationResult` names it; published rows on
            another part are marked as not comparable. Empty: not known.

    Returns:
        Dicts with `name`, `backbone`, `kind` (`'paper'`: the paper's row of this very
        variant; `'peer'` otherwise), `method`, `source`, `note`, `parameters` (of the
        backbone, or None), `metrics` in the units of the project's metrics, `dataset`, and
        `not_comparable`: why the row was measured otherwise, empty if alike.
    """
    if published is None:
        return []
    arch = {'hd': 'mci3'}.get(arch, arch) if arch else None
    rows = _rows_by_size(published, arch) if published.by_size else _rows(published, arch)
    why = why_not_comparable(published, dataset, samples, standin, split)
    for row in rows:
        row['dataset'] = f'{published.dataset} {published.split}'
        row['not_comparable'] = why
    return rows


def _rows_by_size(published: Published, arch: str | None) -> list[dict[str, Any]]:
    group = NEAREST.get(arch or '', arch)
    rows = []
    for row_group, backbone, parameters, *values, source in published.rows:
        is_fastvit = backbone.startswith('FastViT-')
        if row_group != group if arch else not is_fastvit:
            continue
        row = _row(published, 'FastViT paper' if is_fastvit else backbone, backbone, source, values)
        row['kind'] = 'paper' if is_fastvit and arch in (None, row_group) else 'peer'
        row['parameters'] = None if parameters is None else round(parameters * 1e6)
        rows.append(row)
    return rows


def _rows(published: Published, arch: str | None) -> list[dict[str, Any]]:
    rows = []
    for name, backbone, *values, source in published.rows:
        row = _row(published, name, backbone, source, values)
        is_paper = name.endswith(' paper')
        if published.by_method and not is_paper:
            row['method'] = name
        elif is_paper and (arch is None or backbone.lower() in (arch, f'fastvit-{arch}')):
            row['kind'] = 'paper'
        rows.append(row)
    return rows


def _row(
    published: Published, name: str, backbone: str, source: str, values: list[float | None]
) -> dict[str, Any]:
    metrics = {
        metric: value if published.scale == 1 else round(value * published.scale, 4)
        for metric, value in zip(published.metrics, values, strict=True)
        if value is not None
    }
    return {
        'name': name,
        'backbone': backbone,
        'kind': 'peer',
        'method': published.method,
        'source': source,
        'note': NOTES.get(name, ''),
        'parameters': None,
        'metrics': metrics,
    }


def backbone_arch(cfg: Any) -> str | None:
    """Name the variant that a config's model is built on; None for backbones of others.

    Of FastViT 'sa24', of MobileViT 'mobilevit-s' or 'mobilevitv2-1.0'.
    """
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    kind = str(backbone.get('type', '')).rpartition('.')[2]
    if kind == 'MobileViT':
        arch = str(backbone.get('arch', 's')).lower()
        return f'mobilevitv2-{arch}' if arch[0].isdigit() else f'mobilevit-{arch}'
    if kind != 'FastViT':
        return None
    return str(backbone.get('arch', 'sa24')).lower()
