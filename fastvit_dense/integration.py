"""Everything that `import fastvit_dense` changes in other libraries, and nothing else does.

| changed | why |
|---|---|
| mmengine's root registries | they know the names of this package's types, `TYPES` |
| `mmengine.runner.checkpoint` | reads go through `checkpoints.reader`: no file runs code |
| `mmengine.config` | `_base_ = 'mmseg::...'` is found by the import name, at once |
| `mmengine.fileio` | reads files inside tar archives, `tar://ARCHIVE.tar/NAME` |
| mmdet's `COCO` | reads annotation files as the checks do; labels follow the classes' names |
| `mmcv._ext` | offered from torchvision where mmcv came without compiled operators |
| `lvis`, `panopticapi` | offered for what mmdet's datasets need of them, where they are missing |
| yapf's `FormatCode` | keeps its last text: mmengine formats a config again and again |
| `warnings`, `print_log`, mmdet's `COCO` | lines that nobody can act on are not shown |
| the variable `USER` | named where the account has no name, which PyTorch asks for |

A module that is not imported yet is changed when it is (`compat.imports`), and the module of a
type is imported when a config first names the type: importing this package imports no other.
The changes are the same whatever was imported first, however the program was started, and
however often `install` is called. Processes that are spawned make them when they import the
package. `compat.openmmlab`, `compat.noise` and `compat.account` hold the last ones.
"""

import importlib
from types import ModuleType

from .compat import account, noise, openmmlab
from .compat.imports import after_import, offer_module

# registry of mmengine -> type -> module of this package
TYPES = {
    'MODELS': {
        'DeepLabV3Head': 'dense_heads.deeplabv3',
        'ExportedModel': 'deploy.runtime',
        'FastViT': 'backbones.fastvit',
        'HandMeshRegressor': 'hand.regressor',
        'ManoHead': 'hand.heads',
        'ManoTokenHead': 'hand.heads',
        'MobileViT': 'backbones.mobilevit',
        'RLEMaskHead': 'mask_head',
        'SSDLiteHead': 'dense_heads.ssdlite',
        'SSDLiteNeck': 'dense_heads.ssdlite',
    },
    'TASK_UTILS': {'SSDLiteAnchorGenerator': 'dense_heads.ssdlite'},
    'WEIGHT_INITIALIZERS': {'PretrainedFastViT': 'checkpoints.pretrained'},
    'DATASETS': {'FreiHAND': 'datasets.freihand'},
    'TRANSFORMS': {
        'AtSampledSize': 'engine.multi_scale',
        'HandCrop': 'datasets.hand_transforms',
        'LoadCheckedImage': 'datasets.loading',
        'LoadCheckedMask': 'datasets.loading',
        'PackHandInputs': 'datasets.hand_transforms',
        'RandomHandBackground': 'datasets.hand_transforms',
        'RandomHandColor': 'datasets.hand_transforms',
        'RandomHandCrop': 'datasets.hand_transforms',
        'RandomHandFlip': 'datasets.hand_transforms',
        'RandomHandOcclusion': 'datasets.hand_transforms',
        'SeedSample': 'engine.seeding',
    },
    'METRICS': {
        'FederatedMetric': 'evaluation.federated',
        'HandMetric': 'evaluation.hand',
        'InstanceMetric': 'evaluation.instance',
        'PanopticMetric': 'evaluation.panoptic',
        'SemanticMetric': 'evaluation.semantic',
    },
    'DATA_SAMPLERS': {
        'BalancedInfiniteSampler': 'engine.balancing',
        'BalancedSampler': 'engine.balancing',
        'MultiScaleBatchSampler': 'engine.multi_scale',
        'SeededInfiniteSampler': 'engine.seeding',
        'SeededSampler': 'engine.seeding',
    },
    'FUNCTIONS': {'exported_config': 'deploy.runtime'},
    'LOOPS': {'ResumableEpochLoop': 'engine.loops'},
    'HOOKS': {
        'AccumulationHook': 'engine.accumulation',
        'BatchInPartsHook': 'engine.memory',
        'EarlyStopHook': 'engine.early_stop',
        'NonFiniteHook': 'engine.non_finite',
        'ProgressHook': 'engine.console',
        'ProgressTimerHook': 'engine.console',
        'SameBuffersHook': 'engine.distributed',
        'SeedHook': 'engine.seeding',
        'WholeCheckpointHook': 'engine.saving',
    },
}

# modules of packages that no registry has -> module of this package
OFFERED = {
    'lvis': 'datasets.formats.lvis',
    'panopticapi': 'datasets.formats.panoptic',
    'panopticapi.utils': 'datasets.formats.panoptic',
}


def install() -> None:
    """Make the changes that are named above; cheap and idempotent."""
    after_import('mmengine.runner.checkpoint', _read_safely)
    after_import('mmengine.registry', _add_types)
    after_import('mmengine.fileio', _add_backend)
    after_import('mmdet.datasets.api_wrappers.coco_api', _read_annotations)
    for name, module in OFFERED.items():
        offer_module(name, f'{__package__}.{module}')
    openmmlab.install()
    noise.install()
    account.install()


def _read_safely(checkpoint: ModuleType) -> None:
    from .checkpoints.mmengine_loading import use_safe_reader

    use_safe_reader(checkpoint)


def _read_annotations(api: ModuleType) -> None:
    from .datasets.formats.mmdet_coco import use_own_reader

    use_own_reader(api)


def _add_backend(fileio: ModuleType) -> None:
    from .datasets.tar_backend import PREFIX, TarBackend

    fileio.register_backend(PREFIX, TarBackend, force=True, prefixes=PREFIX)


def _add_types(registry: ModuleType) -> None:
    from .compat.registries import late_types

    for name, types in TYPES.items():
        modules = {kind: f'{__package__}.{module}' for kind, module in types.items()}
        late_types(getattr(registry, name), modules)


def load_types() -> None:
    """Import the module of every type, which tells whether all of them can be had."""
    for types in TYPES.values():
        for module in types.values():
            importlib.import_module(f'{__package__}.{module}')
