"""The resizing of a test pipeline, as data: the one that scores were measured with."""

import re
from typing import Any

# steps that change no size
NEUTRAL = re.compile(r'^(Load|Pack|Seed|Normalize|PhotoMetric|RandomHandColor|AtSampledSize)')


def resize_rule(pipeline: Any) -> dict[str, Any]:
    """Say what a pipeline does to the size of a picture.

    Args:
        pipeline: Steps of a test dataset.

    Returns:
        `rule`, and what it needs, sizes in pixels:

        - `fit`: ratio kept, as large as fits: shorter side at most `size[0]`, longer one at most
          `size[1]`; sides are rounded to whole numbers, then up to a multiple of `multiple`.
        - `exact`: height `size[0]`, width `size[1]`, then up to a multiple of `multiple`.
        - `square`: a square about the picture's middle, `margin` times its longer side, the rest
          filled with ImageNet's mean colour, resized to `size`.
        - `none`: not resized, but up to a multiple of `multiple`.
        - `other`: by steps of which this tells nothing.
    """
    rule: dict[str, Any] = {'rule': 'none'}
    multiple = 1
    for step in pipeline or ():
        kind = str(step.get('type')).rpartition('.')[2]
        scale = step.get('scale')
        if kind == 'Resize' and rule == {'rule': 'none'} and scale:
            width, height = (scale, scale) if isinstance(scale, int) else scale
            if step.get('keep_ratio'):
                rule = {'rule': 'fit', 'size': sorted((width, height))}
            else:
                rule = {'rule': 'exact', 'size': [height, width]}
            rule['interpolation'] = step.get('interpolation', 'bilinear')
        elif kind == 'HandCrop' and rule == {'rule': 'none'}:
            side = step.get('size', 224)
            rule = {'rule': 'square', 'size': [side, side], 'margin': step.get('margin', 1.0)}
        elif kind == 'ResizeToMultiple':
            multiple = step.get('size_divisor', 32)
        elif not NEUTRAL.match(kind):
            return {'rule': 'other'}
    return {**rule, 'multiple': multiple}
