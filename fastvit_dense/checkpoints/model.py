"""Whole models from their checkpoints."""

from pathlib import Path

from torch import Tensor, nn

from ..errors import CheckpointMismatch
from .download import resolve
from .mobilevit_dense import dense_tensors
from .pretrained import explain_model
from .reader import load_checkpoint_file
from .state import compare, find_state_dict, without_wrapper


def load_model_state(model: nn.Module, path: str | Path) -> dict:
    """Load the weights of a whole model, every tensor of it or none.

    Args:
        model: For example a detector; its weights are replaced.
        path: A file, address or published name: what a training run or `tools/convert_weights.py`
            wrote, or a published dense model (`mobilevit_dense`).

    Returns:
        The checkpoint's `meta` (classes, config, epoch), empty where it has none.

    Raises:
        CheckpointError: The file cannot be read.
        CheckpointMismatch: A tensor is missing, left over, of another shape or holds NaN.
    """
    path = resolve(path)
    checkpoint = load_checkpoint_file(path)
    state = find_state_dict(checkpoint, path)[1]
    needed = model.state_dict()
    state = without_wrapper(state, needed)
    state = dense_tensors(state) or state
    problems = compare(state, needed)
    if problems:
        hint = explain_model(state, needed)
        raise CheckpointMismatch('\n'.join([f'{path} does not fit the model', *problems, *hint]))
    model.load_state_dict(state, strict=False)  # all is there but num_batches_tracked, perhaps
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, dict) else {}


SMALLEST_SHARE = 0.1  # of the model's tensors that a file to start from must fill


def fitting_weights(model: nn.Module, path: str) -> tuple[dict[str, Tensor], str]:
    """Read the tensors of a checkpoint that have a model's names and shapes.

    Args:
        model: It is not changed.
        path: A file, address or published name, as mmengine takes it; published dense models
            (`mobilevit_dense`), too. Of averaged and other weights in it, the averaged are taken.

    Returns:
        The tensors, and a line that tells how many there are and which are not loaded.

    Raises:
        CheckpointError: The file cannot be read.
        CheckpointMismatch: Less than a tenth of the model's tensors are in it, or there is NaN.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    state = find_state_dict(checkpoint, path)[1]
    needed = model.state_dict()
    state = without_wrapper(state, needed)
    state = dense_tensors(state) or state
    fitting = {n: t for n, t in state.items() if n in needed and needed[n].shape == t.shape}
    wanted = [name for name in needed if not name.endswith('num_batches_tracked')]
    count = sum(name in fitting for name in wanted)
    report = f'load_from {path}: {count} of the {len(wanted)} tensors of the model are loaded'
    problems = compare(state, needed)
    broken = compare(fitting, {name: needed[name] for name in fitting})
    if broken or count < SMALLEST_SHARE * len(wanted):
        why = 'tensors are damaged' if broken else f'{count} of its {len(wanted)} tensors fit'
        hint = explain_model(state, needed)
        raise CheckpointMismatch(
            '\n'.join([f'{path} does not fit the model: {why}', *problems, *hint])
        )
    return fitting, '; '.join([report, *(problem.strip() for problem in problems)])
