"""The folder that `predict` writes, read back for scoring: files named like the pictures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..checkpoints.files import read_json
from ..errors import PredictionError
from ..limits import JSON_BYTES


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


def read_predicted(file: Path, task: str) -> dict[str, Any]:
    """Read the data of one result.

    Raises:
        PredictionError: It is no JSON object of that task.
    """
    try:
        content = read_json(file, JSON_BYTES)
    except ValueError as error:
        raise PredictionError(f'{file}: {error}') from None
    found = content.get('task') if isinstance(content, dict) else type(content).__name__
    if found != task:
        raise PredictionError(f'{file}: expected a result of the task {task!r}, found {found!r}')
    return content
