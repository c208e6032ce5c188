"""Parameters and multiply-accumulates of the whole models that configs describe."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import Tensor, nn

from benchmarks.networks import reason_of
from fastvit_dense.backbones.macs import count_macs
from fastvit_dense.backbones.reparam import reparameterize
from fastvit_dense.config.building import quiet_log
from fastvit_dense.tasks import task_of
from fastvit_dense.tasks.config import load_config

CONFIGS = Path(__file__).parents[1] / 'configs'
BOXES, MASKS = 1000, 100  # regions of a two-stage detector whose heads are counted


def config_names() -> list[str]:
    """All configs that are shipped, as they are named."""
    paths = sorted(path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
    return [path.relative_to(CONFIGS).with_suffix('').as_posix() for path in paths]


def config_sizes(
    configs: Sequence[str] | None = None, progress: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Count configs' models; nothing is computed, and no weights are needed.

    Args:
        configs: Names; by default all.
        progress: Called with lines to show.

    Returns:
        For each: `config`, `parameters` of the folded form, without what prediction does not use,
        `macs` of one picture, `size`, its height and width, and `reason` where they could not be
        counted. A two-stage detector's heads are counted on `BOXES` boxes and `MASKS` masks.
    """
    rows = []
    for name in configs or config_names():
        progress(f'  sizes of {name}')
        row: dict[str, Any] = dict.fromkeys(('parameters', 'macs', 'size', 'reason'))
        rows.append({'config': name, **row})
        try:
            cfg = load_config(str(CONFIGS / f'{name}.py'), pretrained=False)
            rows[-1].update(model_size(cfg))
        except Exception as error:
            rows[-1]['reason'] = reason_of(error)
    return rows


def model_size(cfg: Config) -> dict[str, Any]:
    """`parameters`, `macs` and `size` of the model of one config; see `config_sizes`."""
    settings = cfg.model.copy()
    settings.pop('auxiliary_head', None)
    if 'mano' in settings:
        settings.mano = dict(standin=True)
    init_default_scope(cfg.default_scope)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'), quiet_log():
        model = reparameterize(MODELS.build(settings).eval())
    divisor = settings.data_preprocessor.get('pad_size_divisor') or 1
    size = [-(-side // divisor) * divisor for side in task_of(cfg).input_size(cfg)]
    images = torch.empty(1, 3, *size, device='meta')
    parameters = sum(parameter.numel() for parameter in model.parameters())
    macs = count_macs(lambda images: _forward(model, images), images)
    return {'parameters': parameters, 'macs': macs, 'size': size}


def _forward(model: nn.Module, images: Tensor) -> None:
    """All of a model that prediction runs; a detector's heads on a fixed number of regions."""
    if not (hasattr(model, 'roi_head') or hasattr(model, 'bbox_head')):
        model(images)
        return
    features = model.extract_feat(images)
    if hasattr(model, 'bbox_head'):
        model.bbox_head(features)
        return
    model.rpn_head(features)
    head = model.roi_head
    parts = [(head.bbox_head, head.bbox_roi_extractor, BOXES)]
    if getattr(head, 'with_mask', False):
        parts.append((head.mask_head, head.mask_roi_extractor, MASKS))
    for part, extractor, regions in parts:
        side = extractor.roi_layers[0].output_size
        part(images.new_empty(regions, extractor.out_channels, *side))
