"""The metadata of an exported file: task, classes, input and preprocessing, origin."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..checkpoints.files import parse_json
from ..errors import ExportError, reason_of
from ..version import __version__

MAX_NUMBER = 1e6  # of sizes, means and deviations
# fields that files of earlier versions do not have
LATER = ('resize', 'prediction', 'takes_batches')
LAYOUT = '(1, 3, height, width), RGB, 0-255; normalised inside'
LAYOUT_OF_BATCHES = LAYOUT.replace('1', 'batch', 1)


@dataclass(frozen=True)
class Description:
    """Metadata of an exported file; every field is stored under its name, as JSON.

    Attributes:
        task: Name of the task.
        part: 'model', or 'backbone': feature maps alone.
        config: Name of the config that it was made from.
        classes: Class names, by label.
        input_size: Height and width that the config tests with.
        dynamic_size: Whether the file takes other sizes too.
        mean: Per channel, RGB, of 0-255; part of the graph.
        std: Per channel, RGB, of 0-255; part of the graph.
        precision: 'fp32', 'fp16', 'int8', or 'int8 symmetric'.
        parameters: Number of the model's parameters before folding.
        macs: Multiply-accumulates of one image, or None.
        macs_of: What was counted.
        checkpoint_sha256: Of the checkpoint that was exported.
        mano: Whose hand is inside: 'none', or the name of the hand model.
        input_layout: What the input `image` is.
        fastvit_dense: Version of the package that wrote the file.
        resize: How pictures were resized where the scores were measured; see
            `config.resizing.resize_rule`.
        prediction: The part of the config that predicting reads, as `config.stored` writes it.
        takes_batches: Whether the file takes several images at once, and gives outputs whose first
            axis is the image.
    """

    task: str
    part: str
    config: str
    classes: list[str]
    input_size: list[int]
    dynamic_size: bool
    mean: list[float]
    std: list[float]
    precision: str = 'fp32'
    parameters: int = 0
    macs: int | None = None
    macs_of: str = ''
    checkpoint_sha256: str = ''
    mano: str = 'none'
    input_layout: str = LAYOUT
    fastvit_dense: str = field(default=__version__)
    resize: dict = field(default_factory=dict)
    prediction: str = ''
    takes_batches: bool = False

    def to_strings(self) -> dict[str, str]:
        """Field names and JSON texts, for the metadata of a file."""
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_strings(cls, strings: Mapping[str, str], path: Any) -> 'Description':
        """Read what `to_strings` wrote.

        Args:
            strings: Metadata of a file, which may hold more.
            path: For messages.

        Raises:
            ExportError: It is no export of this package, or a field is damaged.
        """
        known = {f.name: f.type for f in fields(cls)}
        missing = [name for name in known if name not in {*strings, *LATER}]
        if missing:
            raise ExportError(
                f'{path}: no export of fastvit_dense: metadata {", ".join(missing[:3])} missing; '
                'make one with fastvit-dense export'
            )
        values = {}
        for name, kind in known.items():
            if name not in strings:
                continue
            try:
                values[name] = strings[name] if kind is str else parse_json(strings[name])
            except ValueError as error:
                raise ExportError(f'{path}: metadata {name}: {reason_of(error)}') from error
            if not isinstance(values[name], getattr(kind, '__origin__', kind)):
                raise ExportError(
                    f'{path}: metadata {name}: expected {kind}, found {strings[name][:80]}'
                )
        for name, (wanted, fits) in _CONTENTS.items():
            if name in values and not fits(values[name]):
                raise ExportError(
                    f'{path}: metadata {name}: expected {wanted}, found {strings[name][:80]}'
                )
        return cls(**values)


def _are_numbers(values: list) -> bool:
    return all(isinstance(v, int | float) and abs(v) < MAX_NUMBER for v in values)


# what the lists and counts hold, beyond their types
_CONTENTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'classes': ('names', lambda names: all(isinstance(name, str) for name in names)),
    'input_size': (
        'height and width',
        lambda size: len(size) == 2 and all(type(n) is int and 0 < n < MAX_NUMBER for n in size),
    ),
    'mean': ('numbers', _are_numbers),
    'std': ('numbers', _are_numbers),
    'parameters': ('a count', lambda count: 0 <= count < 2**63),
    'resize': ('a rule', lambda rule: not rule or isinstance(rule.get('rule'), str)),
    'macs': ('a count', lambda count: count is None or 0 <= count < 2**63),
}
