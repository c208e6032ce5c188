"""A folder of predicted label maps: written aside while a test runs, found again by image.

The folder itself holds nothing but label maps, fit to be handed in. Beside it lies a record of the
files that a run wrote: the next run takes those away that it does not write anew, and that nobody
has changed since; any other file stays.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..checkpoints.files import parse_json, replacing
from ..datasets.picture_suffixes import suffixes_below
from ..errors import PredictionError
from .label_maps import read_label_map, write_label_map
from .predicted_folder import find_predicted

LABELS = '_labels.png'  # ending of the label maps that `predict` writes


def staging_folder(folder: Path) -> Path:
    """Folder of the label maps of a run that has not ended."""
    return _hidden_beside(folder, 'partial')


def record_file(folder: Path) -> Path:
    """Size and time of change of the files of the last run, by name."""
    return _hidden_beside(folder, 'json')


def _hidden_beside(folder: Path, ending: str) -> Path:
    folder = folder.resolve()
    return folder.with_name(f'.{folder.name}.{ending}')


def label_map_names(images: Iterable[str], top: str | None = None) -> dict[str, str]:
    """Name of each image's label map: its path below a folder, with the ending `.png`.

    Args:
        images: Paths of the images.
        top: The folder; by default the deepest one that holds all images.

    Raises:
        PredictionError: Two images differ in their endings alone.
    """
    places = {image: os.path.abspath(image) for image in images}
    if top is None:
        top = os.path.commonpath([os.path.dirname(place) for place in places.values()])
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for image, place in places.items():
        name = os.path.splitext(os.path.relpath(place, top))[0] + '.png'
        if owners.setdefault(name, image) != image:
            raise PredictionError(f'{image} and {owners[name]} would both be written as {name}')
        names[image] = name
    return names


def stage_label_map(folder: Path, image: str, labels: np.ndarray) -> None:
    """Write the label map (H, W) of an image to where `place_label_maps` looks for it."""
    write_label_map(_staged(folder, image), labels)


def _staged(folder: Path, image: str) -> Path:
    digest = hashlib.sha256(os.path.abspath(image).encode()).hexdigest()
    return staging_folder(folder) / f'{digest}.png'


def place_label_maps(folder: Path, images: Sequence[str]) -> None:
    """Give the staged label maps of the images their names, in place of those of the last run."""
    names = label_map_names(images) if images else {}
    staged = {name: _staged(folder, image) for image, name in names.items()}
    for image, file in zip(names, staged.values(), strict=True):
        if not file.is_file():
            raise PredictionError(
                f'{image}: no label map of it in {folder}; do all processes see this folder?'
            )
    for name, file in _unchanged_since_the_last_run(folder).items():
        if name not in names:
            file.unlink()
    record = {name: _stamp(file) for name, file in staged.items()}  # moving does not change them
    with replacing(record_file(folder)) as part:
        part.write_text(json.dumps(record))
    for name, file in staged.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, folder / name)
    shutil.rmtree(staging_folder(folder), ignore_errors=True)


def find_label_maps(folder: Path, images: Sequence[str], image_dir: str | None) -> dict[str, Path]:
    """The file of each image's label map, there or not.

    They have their path below the image folder, or below the deepest folder that holds all
    images (as `place_label_maps` writes), or all lie side by side (as mmseg writes them);
    what most files fit counts.

    Args:
        folder: Folder of label maps.
        images: Paths of all images of the dataset.
        image_dir: The dataset's folder of images.
    """
    ways = [label_map_names(images, image_dir or None), label_map_names(images)]
    flat = {image: os.path.basename(name) for image, name in ways[0].items()}
    if len(set(flat.values())) == len(flat):
        ways.append(flat)
    found = [{image: folder / name for image, name in way.items()} for way in ways]
    return max(found, key=lambda way: sum(file.is_file() for file in way.values()))


def saved_label_maps(
    folder: Path, images: Sequence[str], image_dir: str | None
) -> tuple[dict[str, Path], bool]:
    """The file of each image's label map, there or not, and whether `predict` wrote the folder."""
    files = find_label_maps(folder, images, image_dir)
    predicted = find_predicted(folder, images, LABELS)
    if not predicted or set(predicted.values()) & set(files.values()):
        return files, False
    return {i: predicted.get(i, folder / f'{Path(i).stem}{LABELS}') for i in images}, True


def read_saved_labels(file: Path, num_classes: int, first: int) -> np.ndarray:
    """Read class indices (H, W) from 0 on.

    Args:
        file: The label map.
        num_classes: Number of classes.
        first: Value of the first class in the file.

    Raises:
        PredictionError: It cannot be read, or a pixel is of no class.
    """
    labels = read_label_map(file)
    low, high, last = labels.min(), labels.max(), first + num_classes - 1
    if low < first or high > last:
        wrong = low if low < first else high
        counted = ', counted from 1 as reduce_zero_label=True says' if first else ''
        raise PredictionError(
            f'{file}: expected values {first} to {last} ({num_classes} classes{counted}), of which '
            f'a prediction has one for each pixel, found {wrong} ({(labels == wrong).sum()} pixels)'
        )
    return labels - first


def refuse_missing(folder: Path, files: Mapping[str, Path]) -> None:
    """Raise PredictionError, which tells what is there, unless every label map is."""
    missing = {image: file for image, file in files.items() if not file.exists()}
    for image, file in missing.items():
        raise PredictionError(
            f'{file}: expected the label map of {image}, found none ({len(missing)} of '
            f'{len(files)} are missing; below {folder} are {suffixes_below(folder)})'
        )


def unknown_label_maps(folder: Path, expected: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """PNGs beside the expected label maps that belong to no image.

    Returns:
        Those that may be predictions; and those that are not of the run which wrote the folder,
        where there is a record of one.
    """
    expected = set(expected)
    folders = {file.parent for file in expected}
    others = sorted(file for f in folders for file in f.glob('*.png') if file not in expected)
    others = [file for file in others if not file.name.startswith('.')]
    record = _read_record(folder)
    if record is None:
        return others, []
    written = {folder / name for name in record}
    return [f for f in others if f in written], [f for f in others if f not in written]


def _unchanged_since_the_last_run(folder: Path) -> dict[str, Path]:
    top, files = folder.resolve(), {}
    for name, stamp in (_read_record(folder) or {}).items():
        file = folder / name
        if file.is_file() and file.resolve().is_relative_to(top) and _stamp(file) == stamp:
            files[name] = file
    return files


def _read_record(folder: Path) -> dict[str, list[int]] | None:
    try:
        record = parse_json(record_file(folder).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _stamp(file: Path) -> list[int]:
    state = file.stat()
    return [state.st_size, state.st_mtime_ns]
