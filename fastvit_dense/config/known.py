"""Keys that something reads although they stand in no config: tables by place and by type."""

from typing import Any

from .loaders import LOADERS
from .types import base_names, find_type, parameters_of

ABSENT: dict[str, Any] = {}  # a dict that does not stand in a config yet
# what mmengine's Runner reads of the config without taking it as arguments
READ_BY_RUNNER = {'auto_scale_lr', 'find_unused_parameters', 'model_wrapper_cfg', 'compile'}
READ_BY_US = {'image_bits'}
# what its `build_dataloader` reads beside the parameters of PyTorch's class
READ_OF_LOADER = {'num_batch_per_epoch', 'disable_subprocess_warning'}

# dict without a type, or keys read beside those of its type, by its place in a config
OF_PLACE = {
    '': READ_BY_RUNNER | READ_BY_US,
    **dict.fromkeys(LOADERS, READ_OF_LOADER),
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'default_hooks': {
        'runtime_info',
        'timer',
        'sampler_seed',
        'logger',
        'param_scheduler',
        'checkpoint',
    },
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.dist_cfg': {'backend', 'init_backend', 'timeout', 'init_method'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'optim_wrapper': {'constructor', 'paramwise_cfg'},
    'optim_wrapper.clip_grad': {
        'type',
        'max_norm',
        'norm_type',
        'error_if_nonfinite',
        'foreach',
        'clip_value',
    },
    'optim_wrapper.paramwise_cfg': {
        'custom_keys',
        'bias_lr_mult',
        'bias_decay_mult',
        'norm_decay_mult',
        'dwconv_decay_mult',
        'dcn_offset_lr_mult',
        'flat_decay_mult',
        'bypass_duplicate',
    },
    'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
}
# class of the dict around, or a base of it -> key of the dict without a type -> its keys
OF_TYPE: dict[str, dict[str, set[str]]] = {
    'BaseDataset': {'filter_cfg': {'filter_empty_gt', 'min_size'}},
    'BaseSegmentor': {'test_cfg': {'mode', 'crop_size', 'stride'}},
    'HandMeshRegressor': {'mano': {'path', 'standin'}},
    'MobileViT': {'init_cfg': {'channel_order'}},
}
# dict that mmcv hands on to a function that no registry knows, by its key -> what these read
OF_KEY = {
    'nms': {
        'type',
        'iou_threshold',
        'class_agnostic',
        'split_thr',
        'max_num',
        'score_threshold',
        'sigma',
        'min_score',
        'method',
    }
}
# of these keys one holds: to set one is to drop the others
ALTERNATIVES = {('HandMeshRegressor', 'mano'): {'path', 'standin'}}


def known_keys(path: str, node: dict[str, Any], cls: Any, around: Any) -> set[str] | None:
    """Keys that a dict of a config may hold: those that stand in it, and those that are read.

    Args:
        path: Its place in the config; '' is the config itself.
        node: The dict; `ABSENT` where it does not stand in the config yet.
        cls: The class or function that its `type` names, or that takes it; None: it is not known.
        around: That of the dict around it, or None.

    Returns:
        The keys; None where they cannot be told.
    """
    read = set(OF_PLACE.get(path, ())) | OF_KEY.get(path.rpartition('.')[2], set())
    if cls is not None:
        read |= parameters_of(cls).keys()
    for name in base_names(around):
        read |= OF_TYPE.get(name, {}).get(path.rpartition('.')[2], set())
    return None if node is ABSENT and not read else read | set(node)


def class_of(path: str, node: dict[str, Any], scope: str | None) -> Any:
    """The class or function that takes a dict at a place of a config; None where it is not known.

    Args:
        path: The place; '' is the config itself, which mmengine's Runner takes.
        node: The dict.
        scope: Scope in which its `type` is looked up.
    """
    if path == '':
        from mmengine.runner import Runner

        return Runner
    if path in LOADERS:
        from torch.utils.data import DataLoader

        return DataLoader
    return find_type(node.get('type'), node.get('_scope_', scope))


def alternatives(around: Any, path: str) -> set[str]:
    """Other keys of the same dict that a key takes the place of."""
    *_, last, key = ['', *path.split('.')]
    groups = [ALTERNATIVES.get((name, last), set()) for name in base_names(around)]
    return next((group - {key} for group in groups if key in group), set())
