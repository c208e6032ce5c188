"""Settings of segmentors' heads that do not fit each other, the classes or the evaluator."""

from collections.abc import Iterator

from mmengine.config import Config

from ...config.loaders import evaluators_of
from ...config.walk import dicts_of
from ..mask_reading import IGNORED
from .common import DatasetCheck

# (path, dict) of a head or a loss
Part = tuple[str, dict]
TWO_WAYS = (
    'either add a background class (metainfo.classes=({others!r}, {name!r}), masks of 0 and 1), or '
    'take these two classes and one output under a sigmoid as well: {path}.out_channels=1 '
    '{path}.loss_decode.use_sigmoid=True, num_classes=2'
)


def check_heads(cfg: Config, check: DatasetCheck) -> None:
    """Check what mmseg's heads are trained with; of a dataset of class masks.

    Args:
        cfg: The config.
        check: Says which dataset, and takes the findings.
    """
    heads = list(_heads(cfg))
    _check_one_class(check, heads)
    for path, head in heads:
        _check_ignored(cfg, check, path, head)
        for place, loss in _losses(path, head):
            _check_weights(check, place, loss, len(check.classes))


def _heads(cfg: Config) -> Iterator[Part]:
    for path, part in dicts_of(cfg.get('model'), 'model'):
        key = next(name for name in reversed(path.split('.')) if not name.isdigit())
        if key in ('decode_head', 'auxiliary_head') and 'type' in part:
            yield path, part


def _losses(path: str, head: dict) -> Iterator[Part]:
    for place, loss in dicts_of(head.get('loss_decode'), f'{path}.loss_decode'):
        if 'type' in loss:
            yield place, loss


def _is_softmax(loss: dict) -> bool:
    return _is_cross_entropy(loss) and not loss.get('use_sigmoid') and not loss.get('use_mask')


def _is_cross_entropy(loss: dict) -> bool:
    return str(loss['type']).rpartition('.')[2] == 'CrossEntropyLoss'


def _check_one_class(check: DatasetCheck, heads: list[Part]) -> None:
    if len(check.classes) == 1:
        (name,) = check.classes
        path = next((path for path, _ in heads), 'model.decode_head')
        check.report.error(
            'one_class',
            'metainfo.classes',
            f'expected at least two classes, found {name!r} alone, which every pixel would be: '
            + TWO_WAYS.format(others='background', name=name, path=path),
        )
        return
    for path, head in heads:
        softmax = [place for place, loss in _losses(path, head) if _is_softmax(loss)]
        if head.get('out_channels') == 1 and softmax:
            check.report.error(
                'one_class',
                path,
                'expected use_sigmoid=True in the loss of a head with out_channels=1, found '
                f'{softmax[0]} with softmax, under which one output is always 1: set either '
                f'{softmax[0]}.use_sigmoid=True, or leave out_channels out, so that each of the '
                f'{len(check.classes)} classes, the background among them, has an output',
            )


def _check_ignored(cfg: Config, check: DatasetCheck, path: str, head: dict) -> None:
    of_head = head.get('ignore_index', IGNORED)
    others = [
        (f'{loader}_evaluator', metric.get('ignore_index', IGNORED))
        for loader in check.report.loaders
        for metric in evaluators_of(cfg, f'{loader}_evaluator')
    ]
    for place, other in [*others, ('masks as they are read', IGNORED)]:
        if of_head != other:
            check.report.error(
                'ignore_index',
                path,
                f'expected one label that is ignored, found ignore_index={of_head} here and '
                f'{other} in {place}; masks are read with {IGNORED} for pixels that count for no '
                'class: leave ignore_index out in both',
            )
            return


def _check_weights(check: DatasetCheck, place: str, loss: dict, classes: int) -> None:
    weights = loss.get('class_weight')
    if not isinstance(weights, list | tuple):
        return
    where = f'{place}.class_weight'
    if loss.get('use_sigmoid') and _is_cross_entropy(loss):
        if len(weights) != 1:
            check.report.error(
                'class_weight',
                where,
                "expected one weight, by which mmseg's sigmoid loss multiplies what is of a class, "
                f'found {len(weights)}; set class_weight=[{max(weights):g}]',
            )
    elif _is_softmax(loss) and len(weights) != classes:
        check.report.error(
            'class_weight',
            where,
            f'expected {classes} weights, one for each class, found {len(weights)}',
        )
    elif _is_softmax(loss) and loss.get('avg_non_ignore'):
        check.report.error(
            'class_weight',
            f'{place}.avg_non_ignore',
            "expected False where there are class weights (mmseg's loss cannot do both; with "
            'weights it leaves ignored pixels out of the average in any case), found True',
        )
