"""YOLO's text files, boxes and polygons, with a data.yaml or a classes.txt."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..picture_suffixes import PICTURE_SUFFIXES
from .records import Format, Found, Object, Picture, box_of, each_once, split_of, unused_note
from .tree import Tree, class_lines, number, picture_size, read_text, read_yaml, text

MOST = 2  # of what is to be a share of a side
KEYS = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}


def recognise(tree: Tree) -> bool:
    """Tell whether there is a YAML file with `names`, or a classes.txt beside label files."""
    return _settings(tree) is not None or bool(_class_list(tree) and _label_files(tree))


def _settings(tree: Tree) -> tuple[Path, dict] | None:
    """The first YAML file that names classes, the nearest to the root."""
    usual = ('data', 'dataset')
    places = tree.of('.yaml', '.yml')
    for path in sorted(places, key=lambda p: (len(p.parts), p.stem not in usual, p)):
        try:
            content = read_yaml(path)
        except DataError:
            if path.stem in usual:
                raise
            continue
        if isinstance(content, dict) and 'names' in content:
            return path, content
    return None


def _class_list(tree: Tree) -> Path | None:
    names = ('classes.txt', 'obj.names', 'labels.txt')
    return next((path for path in tree.files if path.name in names), None)


def _label_files(tree: Tree) -> list[Path]:
    stems = {picture.stem for picture in tree.pictures}
    return [path for path in tree.of('.txt') if path.stem in stems]


def read(tree: Tree) -> Found:
    """Read the pictures that data.yaml names, or all, with their label files."""
    notes: list[str] = []
    settings = _settings(tree)
    if settings:
        names = _names(*settings)
        listed = list(_listed(tree, *settings, notes))
        if 'kpt_shape' in settings[1]:
            notes.append('keypoints (kpt_shape): their boxes are read, the points left out')
    else:
        path = _class_list(tree)
        assert path is not None
        names = each_once(class_lines(path), str(path))
        listed = []
    points = tuple((settings[1] if settings else {}).get('kpt_shape') or ())
    if not listed:
        listed = [(picture, split_of(*_parts(tree, picture)[:-1])) for picture in tree.pictures]
    count: Counter[str] = Counter()
    pictures = []
    for picture_path, split in listed:
        picture = Picture(picture_path, picture_size(picture_path), split)
        label_file = next(filter(os.path.lexists, _label_places(picture_path)), None)
        if label_file is None:
            count['pictures without a label file are taken as pictures without objects'] += 1
        else:
            picture.objects = list(_objects(label_file, picture.size, names, points, count))
        pictures.append(picture)
    if not any(picture.objects for picture in pictures):
        raise DataError(
            f'{tree.root}: no label file holds an object; the labels of images/a.jpg are looked '
            'for in labels/a.txt, and beside it'
        )
    notes += [f'{n} {what}' for what, n in count.items()]
    wanted = {place for picture in tree.pictures for place in _label_places(picture)}
    alone = [p for p in tree.of('.txt') if p.parent.name == 'labels' and p not in wanted]
    notes += unused_note(
        tree.pictures, (p.path for p in pictures), 'of no folder or list of the YAML file'
    )
    if alone:
        notes.append(f'{len(alone)} label files are named as no picture: left out ({alone[0]})')
    return Found(FORMAT.name, tree.root, names, pictures, notes=notes)


def _parts(tree: Tree, path: Path) -> tuple[str, ...]:
    return path.relative_to(tree.root).parts if path.is_relative_to(tree.root) else path.parts


def _names(path: Path, content: dict) -> tuple[str, ...]:
    names = content['names']
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DataError(f'{path}: names: expected the numbers 0 to {len(names) - 1}, each once')
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f'{path}: names: expected a list of class names, found {names!r:.60}')
    if content.get('nc') not in (None, len(names)):
        raise DataError(f'{path}: nc: expected {len(names)}, as names has, found {content["nc"]!r}')
    return each_once(
        [_name(n, f'{path}: names[{k}]') for k, n in enumerate(names)], f'{path}: names'
    )


def _name(name: Any, where: str) -> str:
    """A class, whose name may be a number; YAML reads `no` and `null` as something else."""
    if isinstance(name, str | int | float) and not isinstance(name, bool):
        return text(str(name), where)
    raise DataError(f'{where}: expected a text, found {name!r:.60}; write it in quotes')


def _listed(
    tree: Tree, path: Path, content: dict, notes: list[str]
) -> Iterator[tuple[Path, str | None]]:
    """The pictures of each split that data.yaml names."""
    base = Path(str(content.get('path') or '.'))
    seen: dict[Path, str] = {}
    for key, split in KEYS.items():
        entries = content.get(key)
        for entry in entries if isinstance(entries, list) else [entries] if entries else []:
            place = text(entry, f'{path}: {key}').replace('\\', '/')
            pictures = _pictures_at(tree, path, base, place, key)
            others = [p for p in pictures if seen.get(p, split) != split]
            if not pictures and key != 'test':  # which Roboflow names even where there is none
                notes.append(f'{path}: {key}: no picture in {place}')
            if others:
                notes.append(
                    f'{path}: {key}: {len(others)} of its {len(pictures)} pictures are in '
                    f'{seen[others[0]]}, too, and stay there ({others[0]})'
                )
            for picture in pictures:
                if picture not in seen:
                    seen[picture] = split
                    yield picture, split
    if len(set(seen.values())) == 0 and any(content.get(key) for key in KEYS):
        raise DataError(f'{path}: none of the folders that train, val and test name has pictures')


def _pictures_at(tree: Tree, path: Path, base: Path, place: str, key: str) -> list[Path]:
    """The pictures of a folder or a list; paths of other machines are sought below data.yaml."""
    tried = [path.parent / base / place, path.parent / place, tree.root / place]
    bare = place.lstrip('./')  # Roboflow writes ../train/images
    tried += [path.parent / bare, tree.root / bare]
    found = next((candidate for candidate in tried if candidate.exists()), None)
    if found is None:
        tail = '/'.join(Path(place).parts[-2:])
        ends = {p.parent for p in tree.pictures if str(p.parent).endswith(f'/{tail}')}
        if len(ends) != 1:
            if key == 'test':
                return []
            raise DataError(
                f'{path}: {key}: expected a folder or a list of pictures, found no '
                f'{place!r} beside it'
            )
        found = ends.pop()
    if found.is_dir():
        inside = found.resolve()
        places = {folder: folder.resolve() for folder in {p.parent for p in tree.pictures}}
        known = [p for p in tree.pictures if places[p.parent].is_relative_to(inside)]
        return known or sorted(p for p in found.rglob('*') if p.suffix.lower() in PICTURE_SUFFIXES)
    listed = []
    for place_in, line in enumerate(read_text(found).splitlines()):
        if line.strip():
            name = line.strip().removeprefix('./')
            picture = tree.picture(name, found.parent, path.parent, tree.root)
            if picture is None:
                raise DataError(f'{found}: line {place_in + 1}: no picture {name!r}')
            listed.append(picture)
    return listed


def _label_places(picture: Path) -> list[Path]:
    """Places of the label file of a picture: `images` in its path as `labels`, or beside it."""
    parts = list(picture.parts)
    places = [picture.with_suffix('.txt')]
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] in ('images', 'JPEGImages'):
            swapped = Path(*parts[:k], 'labels', *parts[k + 1 :])
            places.insert(0, swapped.with_suffix('.txt'))
            break
    return places


def _objects(
    path: Path,
    size: tuple[int, int],
    names: tuple[str, ...],
    points: tuple[Any, ...],
    count: Counter[str],
) -> Iterator[Object]:
    height, width = size
    for place, line in enumerate(read_text(path).splitlines()):
        words = line.split()
        if not words:
            continue
        where = f'{path}: line {place + 1}'
        values = [number(word, f'{where}: word {k + 1}') for k, word in enumerate(words)]
        label = values.pop(0)
        if not label.is_integer() or not 0 <= label < len(names):
            raise DataError(
                f'{where}: expected a class from 0 to {len(names) - 1}, found {words[0]}'
            )
        name = names[int(label)]
        if len(points) == 2 and len(values) == 4 + points[0] * points[1]:
            values = values[:4]
        if len(values) == 5:  # a confidence, as predictions have it
            count['confidences at the end of lines are left out'] += 1
            values.pop()
        if max(map(abs, values), default=0) > MOST:
            raise DataError(
                f'{where}: expected shares of the width and height of the picture, 0 to 1, found '
                f'{line:.60}; are these pixels?'
            )
        if len(values) == 4:
            x, y, w, h = (
                values[0] * width,
                values[1] * height,
                values[2] * width,
                values[3] * height,
            )
            yield Object(name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), where=where)
            continue
        if len(values) < 6 or len(values) % 2:
            raise DataError(
                f'{where}: expected a class and 4 numbers (a box), or 3 points and more, found '
                f'{len(values)} numbers'
            )
        ring = [v * (height if k % 2 else width) for k, v in enumerate(values)]
        yield Object(name, box_of([ring]), [ring], where=where)


def nearly(tree: Tree) -> str | None:
    """Tell of label files whose classes no file names."""
    files = _label_files(tree)
    if not files:
        return None
    return (
        f'{files[0]} may be a label file of YOLO: write the names of its classes into '
        f'{tree.root / "classes.txt"}, one a line, from class 0 on'
    )


FORMAT = Format(
    'YOLO',
    'a .yaml file with names (data.yaml), or classes.txt beside label files of the pictures',
    recognise,
    read,
    order=20,
    nearly=nearly,
)
