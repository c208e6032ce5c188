"""Everything that `import fastvit_dense` changes in other libraries, and nothing else does.

- mmengine's root registries know the names of this package's types. The module of a type is
  imported when its name is first asked for, so that a plain import stays light.
- mmengine reads every checkpoint through `checkpoints.reader`, which runs no code of a file.
- OpenMMLab's rough edges are evened out, and `mmcv._ext` is offered from torchvision where mmcv
  has none: see `compat.openmmlab`.
"""

import importlib

# registry of mmengine -> type -> module of this package
TYPES = {
    'MODELS': {
        'ExportedModel': 'deploy.runtime',
        'FastViT': 'backbones.fastvit',
        'HandMeshRegressor': 'hand.regressor',
        'ManoHead': 'hand.heads',
        'ManoTokenHead': 'hand.heads',
        'RLEMaskHead': 'mask_head',
    },
    'WEIGHT_INITIALIZERS': {'PretrainedFastViT': 'checkpoints.pretrained'},
    'DATASETS': {'FreiHAND': 'datasets.freihand'},
    'TRANSFORMS': {
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
        'HandMetric': 'evaluation.hand',
        'InstanceMetric': 'evaluation.instance',
        'SemanticMetric': 'evaluation.semantic',
    },
    'DATA_SAMPLERS': {
        'SeededInfiniteSampler': 'engine.seeding',
        'SeededSampler': 'engine.seeding',
    },
    'HOOKS': {'SameBuffersHook': 'engine.distributed', 'SeedHook': 'engine.seeding'},
}


def install() -> None:
    """Make the changes that are named above; cheap and idempotent."""
    import mmengine.registry

    from .checkpoints.mmengine_loading import use_safe_reader
    from .compat import openmmlab
    from .compat.imports import after_import
    from .compat.registries import late_types

    openmmlab.install()
    after_import('mmengine.runner.checkpoint', use_safe_reader)
    for name, types in TYPES.items():
        modules = {kind: f'{__package__}.{module}' for kind, module in types.items()}
        late_types(getattr(mmengine.registry, name), modules)


def load_types() -> None:
    """Import the module of every type, which tells whether all of them can be had."""
    for types in TYPES.values():
        for module in types.values():
            importlib.import_module(f'{__package__}.{module}')
