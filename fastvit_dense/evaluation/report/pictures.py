"""The samples that a report shows, and their pictures as data URIs."""

import base64
import io
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from PIL import Image, UnidentifiedImageError

from ...checkpoints.files import replacing
from ...config.loaders import datasets_of
from ...datasets.values import is_number
from ...errors import DataError, reason_of
from ...visualization.layout import close_up
from ..record import EvaluationResult

MAX_WIDTH = 1280
MAX_PIXELS = 50_000_000
SHOWN_DOUBTS = 6
DOUBTS = 'Likely label errors'  # heading of their pictures
WORST = 4  # samples that a report shows of these, and two of each other kind
RESERVE = 12  # samples that may stand in for those of a group
ALIKE = 12.0  # mean difference of small copies, of 255


class GalleryEntry(NamedTuple):
    """One picture of a report; a plain tuple of the same order serves as well.

    Args:
        title: What it shows, such as the image's name.
        score: The sample's score; None hides it.
        picture: Path or PIL image: the prediction beside the ground truth.
        group: Heading that it stands under, such as `'Best'`; entries of a group follow each
            other.
        note: What is to be seen there.
    """

    title: str
    score: float | None
    picture: str | Path | Image.Image
    group: str = ''
    note: str = ''


def pick_samples(
    per_sample: Sequence[dict[str, Any]], each: int = 2, worst: int | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """The best, the median and the worst samples by `score`, each sample at most once.

    Samples without a finite score are left out. Equal scores keep their order.

    Args:
        per_sample: `EvaluationResult.per_sample`.
        each: How many of each kind.
        worst: How many of the worst; None: as many as of the others.

    Returns:
        Pairs of `'Best'`, `'Median'` or `'Worst'` and the sample's dict.
    """
    ranked = _ranked(per_sample)
    count = len(ranked)
    worst = each if worst is None else worst
    if count <= 2 * each + worst:
        third = -(-count // 3)
        names = ['Best'] * third + ['Median'] * (count - 2 * third) + ['Worst'] * third
        return list(zip(names, ranked, strict=False)) if count > 2 else _few(ranked)
    middle = (count - each) // 2
    return (
        [('Best', sample) for sample in ranked[:each]]
        + [('Median', sample) for sample in ranked[middle : middle + each]]
        + [('Worst', sample) for sample in ranked[-worst:]]
    )


def _ranked(per_sample: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples that have a score, the best first."""
    known = (sample for sample in per_sample if is_number(sample.get('score')))
    return sorted(known, key=lambda sample: -sample['score'])


def _few(ranked: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return list(zip(('Best', 'Worst'), ranked, strict=False))


def data_uri(picture: str | Path | Image.Image) -> tuple[str, int, int]:
    """A picture as a JPEG data URI of at most `MAX_WIDTH` pixels width, and its size.

    Raises:
        ValueError: The file is missing, no picture, cut off or too large.
    """
    if not isinstance(picture, Image.Image):
        path = Path(picture)
        try:
            with Image.open(path) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    size = f'{opened.width} × {opened.height}'
                    raise ValueError(f'expected at most {MAX_PIXELS:,} pixels, found {size}')
                picture = opened.convert('RGBA')
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = 'no such file' if isinstance(error, FileNotFoundError) else error
            raise ValueError(f'{path.name}: not a readable picture: {reason}') from None
    image = Image.new('RGB', picture.size, 'white')
    image.paste(picture, mask=picture.getchannel('A') if 'A' in picture.getbands() else None)
    if image.width > MAX_WIDTH:
        height = max(1, round(image.height * MAX_WIDTH / image.width))
        image = image.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=85, optimize=True)
    encoded = base64.b64encode(buffer.getvalue()).decode('ascii')
    return f'data:image/jpeg;base64,{encoded}', image.width, image.height


def make_gallery(
    cfg: Config,
    result: EvaluationResult,
    predictions: Path,
    draw: Callable[..., Iterator[tuple[str, Image.Image]]],
) -> tuple[list[GalleryEntry], str]:
    """Draw the samples that a report shows, and the likeliest label errors.

    Args:
        cfg: Config whose test dataset was scored.
        result: Its evaluation; `per_sample` and `diagnosis` say which samples are shown.
        predictions: Saved predictions: the file, or the folder that a metric wrote.
        draw: `Task.draw` of the task.

    Returns:
        The entries, and a line that says why there is none where that is so.
    """
    picked = pick_samples(result.per_sample, worst=WORST)
    if not picked:
        return [], 'no sample has a score of its own'
    dataset = next(datasets_of(cfg, ['test_dataloader']))
    choice = _Choice(picked, result.per_sample)
    doubts = result.diagnosis.get('doubts', [])[:SHOWN_DOUBTS]
    doubtful = []
    try:
        for title, picture in draw(cfg, dataset, choice.ids(), predictions):
            choice.add(title, picture)
        drawn = draw(cfg, dataset, [doubt['image'] for doubt in doubts], predictions)
        for doubt, (title, picture) in zip(doubts, drawn if doubts else (), strict=True):
            shown = close_up(picture, doubt['box'])
            doubtful.append(GalleryEntry(title, None, shown, DOUBTS, doubt['what']))
    except FileNotFoundError as error:
        if error.filename is None:  # ours: the message says all
            return [], str(error)
        return [], f'no image {Path(error.filename).name} in the data folder'
    except (DataError, UnidentifiedImageError) as error:
        return [], str(error)
    except Exception as error:  # a fault in drawing must not cost the numbers
        print_log(traceback.format_exc(), 'current', logging.ERROR)
        return [], f'drawing failed, see the log: {reason_of(error)}'
    return choice.entries() + doubtful, ''


class _Choice:
    """Pictures of each group that differ from each other.

    In place of one that is alike, as neighbours in a video are, stands the next best, next worst.
    Where there are none that differ, those that are alike fill the group.
    """

    def __init__(
        self, picked: list[tuple[str, dict[str, Any]]], per_sample: Sequence[dict[str, Any]]
    ) -> None:
        self.wanted = {name: [s for group, s in picked if group == name] for name, _ in picked}
        taken = [sample for _, sample in picked]
        rest = [s for s in _ranked(per_sample) if not any(s is other for other in taken)]
        half = len(rest) // 2
        self.reserve = {'Best': rest[:half], 'Worst': rest[half:][::-1]}
        self.found: dict[str, list[GalleryEntry]] = {name: [] for name in self.wanted}
        self.alike: dict[str, list[GalleryEntry]] = {name: [] for name in self.wanted}
        self.current: tuple[str, dict[str, Any]] = ('', {})

    def ids(self) -> Iterator[Any]:
        """Yield the id to draw next, once it is known whether the one before is shown."""
        for group, samples in self.wanted.items():
            order = samples[::-1] if group == 'Worst' else samples  # from the end of the ranking
            for sample in [*order, *self.reserve.get(group, ())[:RESERVE]]:
                if len(self.found[group]) == len(samples):
                    break
                self.current = group, sample
                yield sample['id']

    def add(self, title: str, picture: Image.Image) -> None:
        """Take the picture that was asked for."""
        group, sample = self.current
        entry = GalleryEntry(title, sample['score'], picture, group)
        there = [other.picture for other in self.found[group]]
        similar = any(_alike(picture, other) for other in there)
        (self.alike if similar else self.found)[group].append(entry)

    def entries(self) -> list[GalleryEntry]:
        """Return the pictures, the groups and the best first."""
        shown = []
        for group, samples in self.wanted.items():
            entries = (self.found[group] + self.alike[group])[: len(samples)]
            shown += sorted(entries, key=lambda entry: -(entry.score or 0.0))
        return shown


def _alike(one: Image.Image, other: Any) -> bool:
    """Tell whether two pictures show nearly the same, by small copies of them."""
    small = [
        np.asarray(picture.convert('RGB').resize((16, 16), Image.Resampling.BOX), dtype=float)
        for picture in (one, other)
    ]
    return float(np.abs(small[0] - small[1]).mean()) < ALIKE


def save_gallery(entries: list[GalleryEntry], folder: Path) -> None:
    """Write the pictures as PNGs, named by group, place and title, in place of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for group in ('best', 'median', 'worst', 'likely'):
        for old in folder.glob(f'[0-9][0-9]_{group}_*.png'):
            old.unlink()
    for place, entry in enumerate(entries):
        group = entry.group.lower().partition(' ')[0]
        name = f'{place:02d}_{group}_{Path(entry.title).stem}.png'
        picture = entry.picture
        if not isinstance(picture, Image.Image):
            picture = Image.open(picture)
        with replacing(folder / name) as part:
            picture.save(part, compress_level=4)  # in half the time of 6, 2 % larger
