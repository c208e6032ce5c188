"""Predicting pictures from the command line."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..datasets.picture_suffixes import unused_pictures
from ..errors import ConfigError, ImageError
from ..inference.hands import BoxesOfDetector, BoxesOfFile, HandsPredictor
from ..inference.predictor import BATCH_SIZE, Predictor, load_model
from ..inference.progress import Progress
from ..inference.sources import list_images, named_images
from ..inference.tiles import TiledPredictor
from ..tasks.config import load_config, own_weights, stands_alone
from .parquet import ParquetLines, require_parquet
from .prediction_files import Lines, PredictionFiles, Shard, Source, output_names

LISTED = 20  # pictures without objects that are named


def predict(
    config: str,
    checkpoint: str | None,
    images: str | Sequence[str],
    out_dir: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    fuse: bool = False,
    recursive: bool = False,
    batch_size: int | None = None,
    score_thr: float | None = None,
    pictures: bool = True,
    as_annotations: bool = False,
    resume: bool = False,
    shard: str | None = None,
    tiles: int | None = None,
    overlap: float = 0.25,
    boxes: str | None = None,
    format: str | None = None,
) -> list[Path]:
    """Predict pictures; for each NAME.jpg write NAME.png and NAME.json to `out_dir`.

    Pictures that cannot be read are named at the end, and the rest goes on; where none could be
    read, or there is none, it is an error.

    Args:
        config: Config file, or a file that stands alone.
        checkpoint: Weights; None: those of `config`.
        images: Pictures, folders, patterns, lists of names, addresses
            (`inference.sources.list_images`), or `-`: names on standard input.
        out_dir: Where files go; pictures of several folders keep their place below the folder
            that they have in common.
        sample: Use the embedded sample data's settings.
        cfg_options: `key=value` strings.
        fuse: Reparameterize the model first.
        recursive: Take folders within folders, too.
        batch_size: Pictures of one size run together; by default 8 on a GPU, else 1.
        score_thr: Leave out what scores less, from data and pictures.
        pictures: False: no pictures; the data goes into one file, `predictions.jsonl`.
        as_annotations: Write annotations to be corrected and trained on, too.
        resume: Leave out what an earlier run has written.
        shard: 'I/N': every N-th picture, from the I-th on; the data goes into one file.
        tiles: Side of the tiles, pixels, in which large pictures are predicted.
        overlap: Share of a tile that it has in common with the next.
        format: 'jsonl' or 'parquet': the data goes into one file of that format; None: jsonl, where
            it goes into one file.
        boxes: Hands: where they are in whole photographs: the lines that `predict` wrote of a
            detector, or a detector that stands alone; its classes tell left hands by `left`.

    Returns:
        The pictures, or files of data, that were written.
    """
    part = Shard(shard)
    if format == 'parquet':
        require_parquet()
    paths = _pictures(images, recursive)
    names = output_names(paths)
    out = Path(out_dir)
    if pictures:
        _check_place(out, names)
    model = _load(config, checkpoint, sample, cfg_options, fuse)
    predictor = _around(model, tiles, overlap, boxes)
    lines = None
    if not pictures or as_annotations or shard is not None or format is not None:
        kind = ParquetLines if format == 'parquet' else Lines
        lines = kind(out / part.name('predictions', f'.{format or "jsonl"}'), resume)
    files = PredictionFiles(out, names, pictures, lines)
    mine = part(paths)
    done = files.done() if resume else set()
    todo = [path for path in mine if str(path) not in done]
    written, broken, tally = [], [], _Tally()
    progress = Progress(len(todo), 'pictures')
    size = batch_size or (BATCH_SIZE if torch.cuda.is_available() else 1)
    for path, found in predictor.pairs(todo, size):
        progress.step()
        if isinstance(found, ImageError):
            broken.append(str(found))
            continue
        result = found if score_thr is None else found.above(score_thr)
        if as_annotations:
            model.task.annotate(result, out / 'masks' / names[path], model.dataset)
        written.append(files.write(path, result))
        tally.add(path, result, found)
    progress.close()
    if lines is not None:
        lines.close()
    if len(mine) > len(todo):
        print(f'{len(mine) - len(todo)} pictures are done already')
    for source in [images] if isinstance(images, str) else images:
        _tell_unused(source, paths)
    for line in broken:
        print(f'skipped: {line}')
    if todo and not written:
        raise ImageError(f'{_name(images)}: none of {len(todo)} pictures could be read')
    tally.tell()
    if as_annotations:
        _write_annotations(model, lines, out, part, score_thr)
    print(f'{len(written)} pictures and their {_kind(pictures, format)} in {out_dir}')
    return written


def _pictures(images: str | Sequence[str], recursive: bool) -> list[Source]:
    paths: list[Source] = []
    for word in [images] if isinstance(images, str) else images:
        if word == '-':
            paths += named_images(sys.stdin, 'standard input')
        else:
            paths += list_images(word, recursive)
    return list(dict.fromkeys(paths))


def _load(
    config: str, checkpoint: str | None, sample: bool, cfg_options: Iterable[str], fuse: bool
) -> Predictor:
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    model = load_model(cfg, own_weights(config) if checkpoint is None else checkpoint)
    return model.fuse() if fuse else model


def _around(model: Predictor, tiles: int | None, overlap: float, boxes: str | None) -> Any:
    """The predictor, in tiles or of hands by their boxes where that is wanted."""
    if boxes is not None:
        if tiles is not None:
            raise ConfigError('--tiles and --boxes: give one of them')
        if not model.task.has_mano:
            raise ConfigError(f'--boxes: for hands, this model is of {model.task.name!r}')
        detector = stands_alone(boxes)
        return HandsPredictor(
            model, BoxesOfDetector(load_model(boxes)) if detector else BoxesOfFile(Path(boxes))
        )
    return model if tiles is None else TiledPredictor(model, tiles, overlap)


def _check_place(out: Path, names: dict[Source, str]) -> None:
    """See that no picture would be written over one that is read."""
    sources = {Path(os.path.realpath(path)) for path in names if isinstance(path, Path)}
    for name in names.values():
        if Path(os.path.realpath(out / f'{name}.png')) in sources:
            raise ImageError(f'{out}/{name}.png would be overwritten; choose another --out-dir')


def _tell_unused(source: str, paths: list[Source]) -> None:
    root = Path(source)
    files = [path for path in paths if isinstance(path, Path)]
    if root.is_dir() and (left := unused_pictures(root.rglob('*.*'), files)):
        print(f'in {source} {left}')


def _write_annotations(
    model: Predictor, lines: Lines | None, out: Path, part: Shard, score_thr: float | None
) -> None:
    path = out / part.name('annotations', '.json')
    told = model.task.collect_annotations(
        lines, path, model.classes, model.category_ids, score_thr, model.dataset
    )
    if told:
        print(told)


def _kind(pictures: bool, format: str | None) -> str:
    if format == 'parquet':
        return 'rows of a Parquet file'
    return 'JSON' if pictures else 'lines of JSON'


def _name(images: str | Sequence[str]) -> str:
    return images if isinstance(images, str) else ' '.join(images[:3])


class _Tally:
    """The objects that were found, where results are of objects."""

    def __init__(self) -> None:
        self.pictures = self.objects = 0
        self.threshold = 0.0
        self.without: list[str] = []

    def add(self, path: Source, result: Any, found: Any) -> None:
        """Count those of a picture; `found` is the result before a threshold left any out."""
        count = result.objects
        if count is None:
            return
        self.pictures += 1
        self.objects += count
        self.threshold = result.score_threshold
        if not count:
            best = f' (the best scores {found.scores.max():.2f})' if len(found.scores) else ''
            self.without.append(f'{path}{best}')

    def tell(self) -> None:
        """Print what was counted."""
        if not self.pictures:
            return
        print(f'{self.objects} objects above {self.threshold:g} in {self.pictures} pictures')
        for name in self.without[:LISTED]:
            print(f'0 objects above {self.threshold:g}: {name}')
        if len(self.without) > LISTED:
            print(f'... and {len(self.without) - LISTED} more pictures')
