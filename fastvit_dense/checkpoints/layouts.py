"""The published files' names of FastViT's tensors, and the exact way from one naming to another.

Three styles of names exist; every published file is one of them behind a prefix:

- `fastvit_dense`: ours. It is timm's, without the `.gamma` behind a layer scale.
- `timm`: also as `features_only` saves it (`stem_0`, `stages_3`).
- `apple`: the original. Its `network.{n}` counts downsamplings, positional encodings and stages
  in one list, so what `n` stands for follows from the keys below it.

Only names are handled here, as strings; classifier tensors are renamed along.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import CheckpointError

STYLES = ('fastvit_dense', 'apple', 'timm')

_Converter = Callable[[list[str]], list[str]]

# (apple, ours): one part of a dotted name, wherever it stands
_PARTS = (
    ('patch_embed', 'stem'),
    ('rbr_conv', 'conv_kxk'),
    ('rbr_scale', 'conv_scale'),
    ('rbr_skip', 'identity'),
    ('lkb_origin', 'large_conv'),
    ('convffn', 'mlp'),
    ('conv_exp', 'final_conv'),
)
# (apple, ours): beginnings that stand for themselves alone, applied after the parts
_BEGINNINGS = (
    ('head.weight', 'head.fc.weight'),
    ('head.bias', 'head.fc.bias'),
    ('final_conv.se.reduce.', 'final_conv.se.fc1.'),
    ('final_conv.se.expand.', 'final_conv.se.fc2.'),
)
# (apple, ours): beginnings inside one entry of apple's network
_INSIDE = {
    'downsample': (('proj.0.lkb_reparam.', 'proj.0.reparam_conv.'),),
    'pos_emb': (('pe.', 'pos_enc.'),),
    'blocks': (),
}
_LAYER_SCALE = re.compile(r'(?:^|\.)layer_scale(?:_[12])?$')
_TIMM_LAYER_SCALE = re.compile(r'(?:^|\.)layer_scale(?:_[12])?\.gamma$')
_CLASSIFIER = ('final_conv.', 'head.')

_PLAIN_PREFIXES = ('', 'module.', 'backbone.', 'module.backbone.')
# (end of the prefix, style, name): published files that are told apart by their prefix
_NAMED_PREFIXES = (
    ('image_encoder.model.', 'apple', 'mobileclip'),
    ('vision_tower.model.', 'apple', 'fastvlm'),
    ('visual.trunk.', 'timm', 'openclip'),
)
_FIRST_BLOCK = re.compile(
    r'(?P<prefix>(?:.*\.)?)(?P<stem>patch_embed\.0|stem\.0|stem_0)\.'
    r'(?:rbr_conv|rbr_scale|rbr_skip|conv_kxk|conv_scale|identity|reparam_conv)\.'
)


@dataclass(frozen=True)
class Layout:
    """The naming of the tensors of one file.

    Attributes:
        name: 'apple', 'timm', 'mobileclip', 'openclip', 'fastvlm' or 'fastvit_dense'.
        style: One of `STYLES`.
        prefix: What stands before the backbone's own names, '' or ending in a dot.
    """

    name: str
    style: str
    prefix: str


def detect_layout(keys: Iterable[str]) -> Layout | None:
    """Recognise the layout from the names alone; None when no FastViT is among them.

    Raises:
        CheckpointError: Several FastViTs are among them and none is plainly the backbone.
    """
    keys = list(keys)
    stems = {m['prefix']: m['stem'] for m in map(_FIRST_BLOCK.match, keys) if m}
    if not stems:
        return None
    plain = [prefix for prefix in _PLAIN_PREFIXES if prefix in stems]
    if len(stems) > 1 and not plain:
        found = ', '.join(map(repr, sorted(stems)))
        raise CheckpointError(
            f'{len(stems)} FastViTs, below {found}: save the wanted one by itself'
        )
    prefix = plain[0] if plain else next(iter(stems))
    stem = stems[prefix]
    if stem == 'patch_embed.0':
        style = 'apple'
    elif stem == 'stem_0' or any(
        key.startswith(prefix) and _TIMM_LAYER_SCALE.search(key) for key in keys
    ):
        style = 'timm'
    else:
        style = 'fastvit_dense'
    for end, its_style, name in _NAMED_PREFIXES:
        if prefix.endswith(end) and style == its_style:
            return Layout(name, style, prefix)
    return Layout(style, style, prefix)


def backbone_names(keys: Iterable[str], layout: Layout) -> dict[str, str]:
    """Return {our name: key of the file} of all keys behind the layout's prefix, in their order.

    Raises:
        CheckpointError: Two keys would get one name.
    """
    inside = [key.removeprefix(layout.prefix) for key in keys if key.startswith(layout.prefix)]
    return {name: layout.prefix + key for key, name in to_ours(inside, layout.style).items()}


def refuse_bgr(channel_order: str | None) -> None:
    """Refuse to take a FastViT's file for one for BGR.

    Raises:
        CheckpointError: The caller says that it is.
    """
    if channel_order == 'BGR':
        raise CheckpointError("channel_order='BGR' is for MobileViT: FastViT's files are for RGB")


def is_classifier(name: str) -> bool:
    """Tell whether a tensor (our name) belongs to the classifier behind the backbone."""
    return name.startswith(_CLASSIFIER)


def is_foreign_output_norm(name: str) -> bool:
    """Tell whether a tensor (our name) is of an output norm that stands at the end of no stage.

    Apple's dense code has one behind the positional encoding of the SA and MA variants.
    """
    return re.match(r'norm\d+\.', name) is not None


def to_ours(keys: Iterable[str], style: str) -> dict[str, str]:
    """Return our name for each of the keys of a file (prefix removed), in their order.

    A key that the style does not know keeps its name.

    Raises:
        CheckpointError: Two keys would get one name.
    """
    keys = list(keys)
    return _paired(keys, _converter(style, 0)(keys))


def from_ours(names: Iterable[str], style: str) -> dict[str, str]:
    """Return the name in another style for each of our names, in their order.

    Raises:
        CheckpointError: Two names would get one key.
    """
    names = list(names)
    return _paired(names, _converter(style, 1)(names))


def _converter(style: str, direction: int) -> _Converter:
    if style not in _CONVERTERS:
        raise ValueError(f'unknown style {style!r}, known are {", ".join(STYLES)}')
    return _CONVERTERS[style][direction]


def _paired(old_names: list[str], new_names: list[str]) -> dict[str, str]:
    taken: dict[str, str] = {}
    for old, new in zip(old_names, new_names, strict=True):
        if new in taken:
            raise CheckpointError(f'{taken[new]!r} and {old!r} would both be called {new!r}')
        taken[new] = old
    return dict(zip(old_names, new_names, strict=True))


def _timm_to_ours(keys: list[str]) -> list[str]:
    names = []
    for key in keys:
        name = re.sub(r'^(stem|stages)_(\d+)\.', r'\1.\2.', key)
        name = re.sub(r'^norm(\d+)\.', r'out_norms.\1.', name)
        names.append(name.removesuffix('.gamma') if _TIMM_LAYER_SCALE.search(name) else name)
    return names


def _ours_to_timm(names: list[str]) -> list[str]:
    keys = [re.sub(r'^out_norms\.(\d+)\.', r'norm\1.', name) for name in names]
    return [f'{key}.gamma' if _LAYER_SCALE.search(key) else key for key in keys]


def _apple_to_ours(keys: list[str]) -> list[str]:
    places = _places_in_network(keys)
    numbers = {place: n for n, place in places.items()}
    stage_of = {n: place[0] for place, n in numbers.items() if place[1] == 'blocks'}
    names = []
    for key in keys:
        head, _, rest = key.partition('.')
        number, _, leaf = rest.partition('.')
        if head == 'network' and number.isdigit():
            stage, part = places[int(number)]
            leaf = _replace_beginning(leaf, _INSIDE[part])
            key = f'stages.{stage}.{part}.{leaf}'
        elif re.fullmatch(r'norm\d+', head) and int(head[4:]) in stage_of:
            key = f'out_norms.{stage_of[int(head[4:])]}.{rest}'
        key = _replace_parts(key, _PARTS)
        names.append(_replace_beginning(key, _BEGINNINGS))
    return names


def _ours_to_apple(names: list[str]) -> list[str]:
    numbers = _numbers_in_network(names)
    keys = []
    for name in names:
        key = _replace_beginning(name, _reversed(_BEGINNINGS))
        match = re.match(r'stages\.(\d+)\.(downsample|pos_emb|blocks)\.(.*)', key)
        norm = re.match(r'out_norms\.(\d+)\.(.*)', key)
        if match:
            part = match[2]
            leaf = _replace_beginning(match[3], _reversed(_INSIDE[part]))
            key = f'network.{numbers[int(match[1]), part]}.{leaf}'
        elif norm and (int(norm[1]), 'blocks') in numbers:
            key = f'norm{numbers[int(norm[1]), "blocks"]}.{norm[2]}'
        keys.append(_replace_parts(key, _reversed(_PARTS)))
    return keys


def _places_in_network(keys: list[str]) -> dict[int, tuple[int, str]]:
    """Return (stage, part) for every entry of apple's network."""
    leaves: dict[int, list[str]] = {}
    for key in keys:
        match = re.match(r'network\.(\d+)\.(.*)', key)
        if match:
            leaves.setdefault(int(match[1]), []).append(match[2])
    places, stage = {}, 0
    for number in sorted(leaves):
        part = 'blocks'
        if any(leaf.startswith('proj.') for leaf in leaves[number]):
            part, stage = 'downsample', stage + 1
        elif any(leaf.startswith(('pe.', 'reparam_conv.')) for leaf in leaves[number]):
            part = 'pos_emb'
        places[number] = (stage, part)
    return places


def _numbers_in_network(names: list[str]) -> dict[tuple[int, str], int]:
    """Return the entry of apple's network for every (stage, part) that the names have."""
    order = ('downsample', 'pos_emb', 'blocks')
    found = set()
    for name in names:
        match = re.match(r'stages\.(\d+)\.(downsample|pos_emb|blocks)\.', name)
        if match:
            found.add((int(match[1]), order.index(match[2])))
    return {(stage, order[part]): n for n, (stage, part) in enumerate(sorted(found))}


def _reversed(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((ours, apple) for apple, ours in pairs)


def _replace_parts(key: str, pairs: tuple[tuple[str, str], ...]) -> str:
    table = dict(pairs)
    return '.'.join(table.get(part, part) for part in key.split('.'))


def _replace_beginning(key: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        if key.startswith(old):
            return new + key[len(old) :]
    return key


_CONVERTERS: dict[str, tuple[_Converter, _Converter]] = {
    'fastvit_dense': (list, list),
    'apple': (_apple_to_ours, _ours_to_apple),
    'timm': (_timm_to_ours, _ours_to_timm),
}
