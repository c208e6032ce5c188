"""A folder of pictures and one of class masks: indices, 0 and 255, a palette, or colours."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DataError
from ..decoding import PILLOW_FAULTS
from ..mask_reading import IGNORED, is_jpeg, read_mask
from ..picture_files import image_problem
from .labelmap import Color, read_labelmap, read_value_names
from .records import Format, Found, MaskCode, Picture, split_of
from .tree import Tree, picture_size, read_bytes

MASK_WORDS = {
    *('mask', 'masks', 'label', 'labels', 'annotation', 'annotations', 'annot', 'gt', 'seg'),
    *('groundtruth', 'segmentation', 'segmentations', 'segmentationclass', 'lbl', 'target'),
    *('targets', 'labelids', 'labeltrainids', 'gtfine', 'semantic'),
}
PICTURE_WORDS = {
    *('image', 'images', 'img', 'imgs', 'jpegimages', 'photo', 'photos', 'picture', 'pictures'),
    *('rgb', 'leftimg8bit', 'input', 'inputs'),
}
MASK_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp', '.gif')
MAX_COLORS = 64  # of masks whose colours no file names

Key = tuple[str, ...]


def recognise(tree: Tree) -> bool:
    """Tell whether pictures and masks pair by their names."""
    return bool(_pairs(tree)[0])


def read(tree: Tree) -> Found:
    """Read the pairs, the values of all masks and the names of the classes."""
    pairs, alone, masks_alone = _pairs(tree)
    if masks_alone:
        raise DataError(
            f'{masks_alone[0]}: expected a picture of this name for the mask, found none '
            f'({len(masks_alone)} masks without a picture)'
        )
    notes = [f'{len(alone)} pictures without a mask are left out ({alone[0]})'] if alone else []
    notes += filter(None, [nearly(tree)])
    masks = [mask for _, mask in pairs]
    if lossy := next(filter(is_jpeg, masks), None):
        raise DataError(
            f'{lossy}: expected a format that keeps values, such as PNG, found JPEG, which changes '
            'them; write the masks again from their source'
        )
    colored = _is_colored(masks[0])
    odd = next((mask for mask in masks if _is_colored(mask) != colored), None)
    if odd:
        kinds = ('values', 'colours') if colored else ('colours', 'values')
        raise DataError(f'{odd}: expected {kinds[1]}, as {masks[0]} holds, found {kinds[0]}')
    if colored:
        names, code = _colors(tree, masks, notes)
    else:
        names, code = _values(tree, masks, notes)
    pictures = []
    for path, mask in pairs:
        split = split_of(*path.relative_to(tree.root).parts[:-1])
        pictures.append(Picture(path, picture_size(path), split, mask=mask))
    return Found(FORMAT.name, tree.root, (), pictures, names, code, notes)


def _pairs(tree: Tree) -> tuple[list[tuple[Path, Path]], list[Path], list[Path]]:
    """Pairs of picture and mask; pictures, and masks, that have no other half."""
    masks: dict[Key, Path] = {}
    pictures: dict[Key, Path] = {}
    twice: dict[Key, tuple[Path, Path]] = {}
    for path, key, is_mask in _halves(tree):
        first = (masks if is_mask else pictures).setdefault(key, path)
        if first != path:
            twice[key] = first, path
    both = sorted(pictures.keys() & masks.keys())
    for key in both:
        if key in twice:
            one, other = twice[key]
            raise DataError(
                f'{other}: expected one file for each picture, and one for its mask, found {one}, '
                'too; leave one of the two in the folder'
            )
    return (
        [(pictures[key], masks[key]) for key in both],
        sorted(path for key, path in pictures.items() if key not in masks),
        sorted(path for key, path in masks.items() if key not in pictures),
    )


def _halves(tree: Tree) -> Iterable[tuple[Path, Key, bool]]:
    """The pictures with the part of their names that both halves share, those of masks' names last.

    Those are masks where their suffix is one of a lossless format.
    """
    named = [(path, *_key(path.relative_to(tree.root))) for path in tree.pictures]
    for path, key, is_mask in sorted(named, key=lambda entry: entry[2]):
        yield path, key, is_mask and _is_lossless(path)


def nearly(tree: Tree) -> str | None:
    """Tell of masks in a format that changes values."""
    named = [(path, *_key(path.relative_to(tree.root))) for path in tree.pictures]
    pictures = {key for _, key, is_mask in named if not is_mask}
    masks = {key for path, key, is_mask in named if is_mask and _is_lossless(path)}
    lossy = [p for p, key, is_mask in named if is_mask and key in pictures - masks]
    if not lossy:
        return None
    return (
        f'{lossy[0]} seems to be a mask, which {lossy[0].suffix} changes the values of: masks are '
        f'files {" ".join(MASK_SUFFIXES)}'
    )


def _is_lossless(path: Path) -> bool:
    return path.suffix.lower() in MASK_SUFFIXES


def _key(path: Path) -> tuple[Key, bool]:
    """The part of the path that a picture and its mask share, and whether this is a mask."""
    is_mask, parts = False, []
    for part in path.parts[:-1]:
        words = re.split('[_ -]', re.sub('annot$', '_annot', part, flags=re.IGNORECASE))
        left = [w for w in words if w.lower() not in MASK_WORDS | PICTURE_WORDS]
        is_mask = is_mask or any(w.lower() in MASK_WORDS for w in words)
        if rest := '_'.join(filter(None, left)):
            parts.append(rest)
    stem = path.stem
    while (cut := re.fullmatch(r'(.+)[_-]([A-Za-z0-9]+)', stem)) is not None:
        word = cut[2].lower()
        if word not in MASK_WORDS | PICTURE_WORDS:
            break
        is_mask = is_mask or word in MASK_WORDS
        stem = cut[1]
    return (*parts, stem), is_mask


def _is_colored(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in ('RGB', 'RGBA')
    except PILLOW_FAULTS:
        raise DataError(f'{path}: expected a mask, found a file that cannot be read') from None


def _values(
    tree: Tree, masks: Iterable[Path], notes: list[str]
) -> tuple[tuple[str, ...], MaskCode]:
    """Classes and code of masks of values."""
    named = read_value_names(tree)
    seen: dict[int, Path] = {}
    for path in masks:
        for value in np.unique(read_mask(str(path))).tolist():
            seen.setdefault(value, path)
    labels = sorted(value for value in seen if value != IGNORED)
    if set(seen) == {0, IGNORED} and (named is None or len(named) <= 2):
        names = tuple(named.values()) if named else ('foreground',)
        names = names if len(names) == 2 else ('background', *names)
        notes.append(f'masks hold 0 and 255: {names[0]} and {names[1]}')
        return names, {0: 0, IGNORED: 1}
    if named is None:
        if not labels:
            raise DataError(f'{next(iter(seen.values()))}: expected classes, found 255 alone')
        notes.append('no file names the classes (classes.txt or classes.json would)')
        named = {value: f'class_{value}' for value in labels}
    elif IGNORED in named and len(named) > 1:
        named = {value: name for value, name in named.items() if value != IGNORED}
    unknown = [value for value in labels if value not in named and value != 0]
    if unknown:
        raise DataError(
            f'{seen[unknown[0]]}: expected values of the {len(named)} classes ({min(named)} to '
            f'{max(named)}) or 255, found {unknown[0]}'
        )
    code = {value: place for place, value in enumerate(sorted(named))}
    if 0 in labels and 0 not in named:
        notes.append('0 has no name: not labelled')
        code[0] = IGNORED
    return tuple(named[value] for value in sorted(named)), {**code, IGNORED: IGNORED}


def _colors(
    tree: Tree, masks: Sequence[Path], notes: list[str]
) -> tuple[tuple[str, ...], MaskCode]:
    """Classes and code of masks of colours."""
    named = read_labelmap(tree)
    seen: dict[Color, Path] = {}
    counts: Counter[Color] = Counter()
    for path in masks:
        found, pixels = np.unique(packed(read_colors(path)), return_counts=True)
        for value, n in zip(found.tolist(), pixels.tolist(), strict=True):
            color = (value >> 16, value >> 8 & 255, value & 255)
            seen.setdefault(color, path)
            counts[color] += n
        if named is None and len(seen) > MAX_COLORS:
            raise DataError(
                f'{path}: expected at most {MAX_COLORS} colours in the masks, found more; masks '
                'are PNG files without smoothing, and labelmap.txt names their colours'
            )
    values = read_value_names(tree) if named is None else None
    if values and all(red == green == blue for red, green, blue in seen):
        notes.append('masks are grey in three channels, which are read as values')
        named = {(value, value, value): name for value, name in values.items()}
    elif values:
        raise DataError(
            f'{masks[0]}: expected the values of {len(values)} named classes, found colours; '
            'labelmap.txt names those: name:red,green,blue::, one a line'
        )
    if named is None:
        notes.append('no labelmap.txt names the colours of the masks')
        order = sorted(seen, key=lambda color: (color != (0, 0, 0), -counts[color], color))
        named = {c: 'background' if c == (0, 0, 0) else 'color_{}_{}_{}'.format(*c) for c in order}
    unknown = next((color for color in seen if color not in named), None)
    if unknown:
        raise DataError(
            f'{seen[unknown]}: expected the {len(named)} named colours, found {unknown}'
        )
    names = tuple(dict.fromkeys(named.values()))
    return names, {color: names.index(name) for color, name in named.items()}


def read_colors(path: Path) -> np.ndarray:
    """A mask of colours, (H, W, 3) uint8."""
    data = read_bytes(path)
    if problem := image_problem(data):
        raise DataError(f'{path}: {problem}')
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB'))
    except PILLOW_FAULTS:
        raise DataError(f'{path}: expected a mask, found a file that cannot be decoded') from None


def packed(colors: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as one number each."""
    parts = colors.astype(np.int32)
    return parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]


def read_labels(path: Path, code: MaskCode) -> np.ndarray:
    """Class indices of a mask, (H, W) uint8, 255 where it is not labelled.

    Raises:
        DataError: It cannot be read, or holds a value that the code does not have.
    """
    by_color = isinstance(next(iter(code)), tuple)
    pixels = packed(read_colors(path)) if by_color else read_mask(str(path))
    table = {(packed(np.array(k)).item() if by_color else k): v for k, v in code.items()}
    values, where = np.unique(pixels, return_inverse=True)
    labels = [
        table.get(value, None if by_color or value != IGNORED else IGNORED)
        for value in values.tolist()
    ]
    if None in labels:
        value = values[labels.index(None)]
        raise DataError(f'{path}: expected the values of the classes, found {value}')
    return np.array(labels, np.uint8)[where.reshape(pixels.shape)]


FORMAT = Format(
    'pictures and masks',
    'a folder of pictures (images/) and one of masks of the same names (masks/)',
    recognise,
    read,
    order=60,
    nearly=nearly,
)
