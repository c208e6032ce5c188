"""Results that `predict` wrote, read back for scoring: files named like the pictures, or lines."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from ..checkpoints.files import parse_json, read_json
from ..errors import PredictionError
from ..limits import JSON_BYTES

LINES = 'predictions*.jsonl'  # a file of each shard


def find_predicted(folder: Path, pictures: Iterable[str], ending: str) -> dict[str, Path]:
    """The file of each picture that has one in a folder that `predict` wrote.

    Args:
        folder: The folder.
        pictures: Paths of the pictures.
        ending: Of the files, behind the name of the picture: '.json', '_labels.png'.

    Raises:
        PredictionError: A file fits two pictures.
    """
    found: dict[str, Path] = {}
    owners: dict[Path, str] = {}
    for picture in pictures:
        path = Path(picture)
        for name in (path.stem, path.name.replace('.', '_')):
            file = folder / f'{name}{ending}'
            if file.is_file():
                if owners.setdefault(file, picture) != picture:
                    raise PredictionError(
                        f'{file}: expected the prediction of one picture, found that {picture} and '
                        f'{owners[file]} have that name'
                    )
                found[picture] = file
                break
    return found


def is_of_predict(path: Path, official: str) -> bool:
    """Tell whether `predict` may have written a path: it lacks the file of the official format."""
    return path.suffix == '.jsonl' or (path.is_dir() and not (path / official).is_file())


def read_results(
    path: Path, pictures: Iterable[str], task: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield picture, place and data of each result that `predict` wrote of these pictures.

    Args:
        path: The folder, with a JSON file for each picture or with files of lines, as
            `--no-pictures` writes them; or such a file.
        pictures: Paths of the pictures.
        task: That of the results.

    Raises:
        PredictionError: A result is no JSON object of that task, a picture has two, or lines are
            of other pictures.
    """
    pictures = list(pictures)
    files = find_predicted(path, pictures, '.json') if path.is_dir() else {}
    for picture, file in files.items():
        try:
            content = read_json(file, JSON_BYTES)
        except ValueError as error:
            raise PredictionError(f'{file}: {error}') from None
        yield picture, str(file), _of_task(content, task, str(file))
    if not files:
        shards = sorted(path.glob(LINES)) if path.is_dir() else [path]
        yield from _results_of_lines(shards, pictures, task)


def _results_of_lines(
    files: Sequence[Path], pictures: Sequence[str], task: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    by_name: dict[str, list[str]] = {}
    for picture in pictures:
        by_name.setdefault(PurePath(picture).name, []).append(picture)
    found: dict[str, str] = {}
    image = None
    for where, line in _lines(files):
        content = _of_task(line, task, where)
        image = content.get('image')
        if not isinstance(image, str):
            raise PredictionError(f'{where}: image: expected the path of a picture, found {image}')
        own = _picture_at(image, by_name)
        if own is None:
            continue
        if own in found:
            raise PredictionError(
                f'{where}: expected one result of {own}, found that {found[own]} has one, too'
            )
        found[own] = where
        yield own, where, content
    if image is not None and not found:
        raise PredictionError(
            f'{files[0]}: expected results of the {len(pictures)} annotated pictures, such as '
            f'{pictures[0]}, found those of others, such as {image}'
        )


def _lines(files: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    for file in files:
        with file.open(encoding='utf-8', errors='replace') as stream:
            for number, line in enumerate(stream, start=1):
                where = f'{file}, line {number}'
                try:
                    yield where, parse_json(line)
                except ValueError:
                    raise PredictionError(
                        f'{where}: expected a whole JSON object, found {line.strip()[-60:]!r}; '
                        'predict --resume goes on with a file that was cut off'
                    ) from None


def _picture_at(image: str, by_name: dict[str, list[str]]) -> str | None:
    """The picture whose path is the end of that of an image, the longest of several."""
    parts = PurePath(image).parts
    names = {name: PurePath(name).parts for name in by_name.get(PurePath(image).name, ())}
    fitting = [name for name, own in names.items() if parts[-len(own) :] == own]
    return max(fitting, key=len, default=None)


def _of_task(content: Any, task: str, where: str) -> dict[str, Any]:
    found = content.get('task') if isinstance(content, dict) else type(content).__name__
    if found != task:
        raise PredictionError(f'{where}: expected a result of the task {task!r}, found {found!r}')
    return content
