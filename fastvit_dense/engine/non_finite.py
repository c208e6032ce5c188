"""Training that stops at the first number that is none, and keeps what shows it again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from ..checkpoints.state import non_finite, norms_are_finite
from ..checkpoints.writing import save_whole
from ..errors import NonFiniteError, NotWrittenError
from .seeding import random_states

SKIPPED = 'skipped_steps'  # in the message hub: how many steps were left out
SMALLEST_SCALE = 1.0  # of AMP's losses: gradients that overflow at it would without AMP


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop training where a loss, the norm of the gradients or a weight is NaN or infinite.

    Losses and gradients are looked at before the optimizer's step, weights after it; each is one
    number that is waited for. Steps that AMP's loss scaling leaves out because the scaled
    gradients overflow are not counted, unless the scale has fallen below 1.

    `StrictRunner` has this hook in every training, as `default_hooks.non_finite`.

    Args:
        max_skipped: How many steps of a training with a non-finite loss or gradient are left out,
            each with a warning, before one stops it. Weights and BatchNorm statistics are then
            those of before the step. A non-finite weight always stops it.
    """

    priority = 'HIGH'  # after SeedHook, so that the random numbers are those of the step

    def __init__(self, max_skipped: int = 0) -> None:
        self.max_skipped = max_skipped
        self.losses: dict[str, list[Tensor]] = {}
        self.unseen = False  # whether losses of this iteration were not looked at

    def before_train(self, runner: Runner) -> None:
        """Watch the model's losses and the optimizer's steps."""
        model: nn.Module = getattr(runner.model, 'module', runner.model)
        self.runner = runner
        self.weights = model.state_dict()
        self.before = {name: tensor.clone() for name, tensor in self.weights.items()}
        self.may_be_inf = non_finite(dict(model.named_buffers()))
        model.register_forward_hook(self._keep_losses)
        for wrapper in _wrappers(runner):
            wrapper.optimizer.register_step_pre_hook(self._before_step)
            wrapper.optimizer.register_step_post_hook(self._after_step)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Keep what the iteration starts from."""
        self.batch, self.losses = data_batch, {}
        self.random = random_states()
        _copy(self.weights, self.before)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Look at the losses of an iteration without a step, and let the batch go."""
        left_out = self.unseen and not self._check([])
        for wrapper in _wrappers(runner):
            if left_out:  # its gradients are among those that are gathered
                wrapper.zero_grad()
            scaler = getattr(wrapper, 'loss_scaler', None)
            if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
                self._stop(f"AMP's loss scale fell to {scaler.get_scale()}")
        self.batch = None

    # --- the looks ---

    def _keep_losses(self, model: nn.Module, inputs: tuple, outputs: Any) -> None:
        if model.training and isinstance(outputs, Mapping):
            # without the graph: where a step fails, it would stay in memory
            self.losses = {name: _detached(value) for name, value in outputs.items()}
            self.unseen = True

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        if not self._check([p.grad for p in parameters if p.grad is not None]):
            for parameter in parameters:  # which the step then leaves as they are
                parameter.grad = None

    @torch.no_grad()
    def _check(self, gradients: list[Tensor]) -> bool:
        """Tell whether losses and gradients are finite; stop, or go back, where they are not."""
        terms, self.unseen = self._terms(), False
        numbers = [term.float() for term in terms.values()]
        if gradients:
            norms = torch._foreach_norm(gradients)
            numbers.append(torch.linalg.vector_norm(torch.stack([n.float() for n in norms])))
        if not numbers or _all_agree(torch.stack(numbers).isfinite().all()):
            return True
        what = 'a loss or gradient of another process is not finite'
        if gradients and not numbers[-1].isfinite():
            what = f'the gradient norm is {float(numbers[-1])}'
        if not all(term.isfinite() for term in terms.values()):
            what = f'the loss is {float(sum(terms.values()))}'
        skipped = self.runner.message_hub.runtime_info.get(SKIPPED, 0) + 1
        if skipped > self.max_skipped:
            self._stop(what)
        self.runner.message_hub.update_info(SKIPPED, skipped)
        self.runner.logger.warning(
            f'{self._told(what)}: skipped, step {skipped} of at most {self.max_skipped}'
        )
        _copy(self.before, self.weights)
        return False

    def _after_step(self, *_: Any) -> None:
        finite = norms_are_finite(
            [t for t in self.weights.values() if t.is_floating_point()]
        ) or not non_finite(self.weights, self.may_be_inf)
        if not _all_agree(torch.tensor(finite)):
            names = non_finite(self.weights, self.may_be_inf)
            what = f'{len(names)} tensors of the weights hold NaN or Inf after the step'
            self._stop(f'{what}: {", ".join(names[:3])}')

    # --- what is told and kept ---

    def _terms(self) -> dict[str, Tensor]:
        """Mean of each loss by name, as mmengine sums them."""
        terms = {}
        for name, value in self.losses.items():
            if 'loss' in name and value:
                terms[name] = torch.stack([tensor.mean() for tensor in value]).sum()
        return terms

    def _told(self, what: str) -> str:
        losses = ', '.join(f'{name} {float(term):.6g}' for name, term in self._terms().items())
        rates = self.runner.optim_wrapper.get_lr().items()
        rate = ', '.join(f'{name} {float(values[0]):.6g}' for name, values in rates)
        files = ', '.join(files_of(self.batch)) or 'of unknown files'
        return f'iteration {self.runner.iter + 1}: {what} ({losses}; {rate}; batch: {files})'

    def _stop(self, what: str) -> None:
        message = self._told(what)
        rank = get_rank()
        name = f'non_finite_iter_{self.runner.iter + 1}{f"_rank_{rank}" if rank else ""}.pt'
        path = Path(self.runner.work_dir, name)
        try:
            save_whole(self._replay(message), path)
            kept = f'what shows it again is in {path}'
        except NotWrittenError as error:
            kept = f'what would show it again is not kept: {error}'
        raise NonFiniteError(f'{message}; {kept}')

    def _replay(self, message: str) -> dict:
        """Return what the step started from; the shared weights from the first process."""
        state = dict(
            message=message,
            iter=self.runner.iter,
            cfg=self.runner.cfg.pretty_text,
            random=self.random,
            batch=self.batch,
        )
        if get_rank() == 0:
            optimizer = self.runner.optim_wrapper.state_dict()
            state.update(state_dict=self.before, optimizer=optimizer)
        return state


def files_of(batch: Any) -> Iterator[str]:
    """Files of the pictures of a batch, as far as its samples tell."""
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        for part in batch:
            yield from files_of(part)
    elif hasattr(batch, 'img_path'):
        yield str(batch.img_path)


def _detached(value: Any) -> list[Tensor]:
    values = value if isinstance(value, list | tuple) else [value]
    return [v.detach() for v in values if torch.is_tensor(v)]


def _wrappers(runner: Runner) -> list[OptimWrapper]:
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _all_agree(flag: Tensor) -> bool:
    """Tell whether a flag is true in all processes."""
    if is_distributed():
        flag = flag.to(torch.uint8)
        all_reduce(flag, 'min')
    return bool(flag)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    """Copy tensors of the same names; those of one type in one go."""
    for dtype in {tensor.dtype for tensor in source.values()}:
        names = [name for name, tensor in source.items() if tensor.dtype == dtype]
        torch._foreach_copy_([target[name] for name in names], [source[name] for name in names])
