"""Checkpoints in several files, as Hugging Face's libraries write them: an index and its shards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError, reason_of
from ..limits import INDEX_BYTES
from .files import read_json

# what such a folder holds, the first that is there counts
SINGLE_FILES = ('model.safetensors', 'pytorch_model.bin', 'open_clip_pytorch_model.bin')
# folders that other programs write: a file of theirs -> what to do
FOREIGN_FOLDERS = {
    '.metadata': 'a folder of torch.distributed.checkpoint; make one file of it with `python -m '
    'torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE`',
    'zero_to_fp32.py': 'a folder of DeepSpeed; make one file of it with its own zero_to_fp32.py',
    'last_checkpoint': 'a folder of a training run; name one of its checkpoints',
}


def is_index(path: Path) -> bool:
    """Tell by its name whether a file is the index of a sharded checkpoint."""
    return path.name.endswith('.index.json')


def find_in_folder(folder: Path) -> Path:
    """Return the index, or the only file, of a checkpoint that is a folder.

    Raises:
        CheckpointError: There is none; the message says what there is and what to do.
    """
    indices = sorted(folder.glob('*.index.json'))
    singles = [folder / name for name in SINGLE_FILES if (folder / name).is_file()]
    if len(indices) > 1:
        # the same weights in both formats
        indices = [i for i in indices if i.name.startswith('model.safetensors')] or indices
    found = indices or singles or sorted(folder.glob('*.safetensors'))
    if len(found) == 1 or (singles and not indices):
        return found[0]
    for name, hint in FOREIGN_FOLDERS.items():
        if (folder / name).exists():
            raise CheckpointError(f'{folder}: {hint}')
    names = ', '.join(sorted(entry.name for entry in folder.iterdir())[:8]) or 'nothing'
    raise CheckpointError(
        f'{folder}: a folder, expected a checkpoint file, or a folder with an index (*.index.json) '
        f'or {" or ".join(SINGLE_FILES[:2])}, found {names}'
    )


def read_shards(index: Path, read: Callable[[Path], Any]) -> dict[str, Tensor]:
    """Read the tensors of all shards of an index.

    Args:
        index: A JSON object whose `weight_map` tells the file of each tensor; the files lie beside
            it.
        read: Reads one file, as `load_checkpoint_file`.

    Returns:
        The tensors by name.

    Raises:
        CheckpointError: The index is damaged, or a file or tensor that it names is not there.
    """
    places = _weight_map(index)
    state: dict[str, Tensor] = {}
    for shard in dict.fromkeys(places.values()):
        names = [name for name, place in places.items() if place == shard]
        content = read(index.with_name(shard))
        missing = [n for n in names if not isinstance(content, dict) or n not in content]
        if missing:
            raise CheckpointError(
                f'{index}: expected {missing[0]!r} in {shard}, found no such tensor there'
            )
        state |= {name: content[name] for name in names}
    return state


def _weight_map(index: Path) -> dict[str, str]:
    try:
        content = read_json(index, INDEX_BYTES)
    except ValueError as error:
        raise CheckpointError(f'{index}: truncated or damaged ({reason_of(error)})') from error
    places = content.get('weight_map') if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f'{index}: expected "weight_map", the file of each tensor')
    for name, place in places.items():
        if not isinstance(place, str) or not _is_plain_name(place):
            raise CheckpointError(
                f'{index}: weight_map: {name!r}: expected the name of a file beside the index, '
                f'found {place!r:.80}'
            )
    return places


def _is_plain_name(place: str) -> bool:
    """Tell whether a text names a file in the same folder, other than an index."""
    if not 0 < len(place) < 200 or not place.isprintable():
        return False
    return place == Path(place).name and not is_index(Path(place))
