"""FastViT (arXiv 2303.14189) and its MCi derivatives as a backbone for dense prediction.

Every stage's output is the true end of that stage: for the attention variants it comes after the
attention blocks, not after the positional encoding before them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .blocks import AttentionBlock, RepMixerBlock
from .convolutions import ConditionalPosEnc, MobileOneBlock, PatchEmbed
from .norms import build_norm
from .reparam import double, fold_affine_before, norm_affine, reparameterize, set_folded
from .variants import VARIANTS, Variant


class Stage(nn.Module):
    """Downsampling (all stages but the first), positional encoding (before attention), blocks."""

    def __init__(
        self, downsample: nn.Module, pos_emb: nn.Module, blocks: list[nn.Module], with_cp: bool
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.pos_emb = pos_emb
        self.blocks = nn.Sequential(*blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Map the output of the stage before to the end of this stage."""
        x = self.pos_emb(self.downsample(x))
        for block in self.blocks:
            x = _recomputed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
        return x


def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block whose insides the backward pass computes again."""
    if torch.compiler.is_compiling():  # a compiled backward pass moves no statistics
        return checkpoint(block, x, use_reentrant=False)
    contexts = lambda: (nullcontext(), _unmoved_statistics(block))
    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@MODELS.register_module()
class FastViT(BaseModule):
    """FastViT without its classifier: feature maps at strides 4, 8, 16, 32 (and 64).

    Args:
        arch: 't8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36', 'mci0' ... 'mci4', or 'hd'
            (FastViTHD, the same network as 'mci3').
        out_indices: Increasing stage numbers to return. Stages after the last are not built.
        out_norm: Norm on each output, a registered type name ('BN', 'SyncBN', 'LN') or a config
            dict; None for raw features. These norms are new parameters, in no published file.
        norm_cfg: Every BatchNorm inside: type name or config dict of a BatchNorm type. The
            LayerNorm before attention in 'mci3' and 'mci4' is not concerned.
        drop_path_rate: Stochastic depth of the last block of the variant, 0 <= rate < 1; it
            grows linearly from 0 at the first.
        norm_eval: Keep every BatchNorm in eval mode while training, output norms included.
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages: no gradients,
            and their BatchNorms in eval mode.
        reparameterized: Build the folded form, with the keys that `reparameterize` yields.
        with_cp: Recompute the blocks in the backward pass to save memory. Gradients and running
            statistics are those of training without it.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads through `load_pretrained`: all
            of the backbone or an error. Other types are applied as mmengine does.

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output with regard to the image.

    Raises:
        ValueError: An argument out of its range; the message names what is possible.
    """

    init_cfg: dict | list[dict] | None

    def __init__(
        self,
        arch: str = 'sa24',
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_norm: str | dict | None = 'BN',
        norm_cfg: str | dict = 'BN',
        drop_path_rate: float = 0.0,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        reparameterized: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if arch not in VARIANTS:
            raise ValueError(f'unknown arch {arch!r}, known are {", ".join(VARIANTS)}')
        variant = VARIANTS[arch]
        out_indices = _check_out_indices(arch, out_indices)
        if not -1 <= frozen_stages <= len(variant.layers):
            raise ValueError(
                f'frozen_stages is {frozen_stages}, {arch!r} allows -1 (none) to '
                f'{len(variant.layers)} (all stages)'
            )
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate is {drop_path_rate}, expected 0 <= rate < 1')
        if not isinstance(build_norm(norm_cfg, 1), _BatchNorm):
            raise ValueError(
                f'norm_cfg is {norm_cfg!r}, expected a BatchNorm type such as BN or SyncBN: '
                "FastViT's branches cannot be folded with another"
            )
        self.arch = arch
        self.out_indices = out_indices
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages
        self.out_channels = tuple(variant.embed_dims[i] for i in out_indices)
        self.out_strides = tuple(4 * 2**i for i in out_indices)

        self.stem = _build_stem(variant, norm_cfg)
        depth = sum(variant.layers)
        drop_path_rates = [drop_path_rate * i / (depth - 1) for i in range(depth)]
        self.stages = nn.ModuleList(
            _build_stage(variant, i, drop_path_rates, norm_cfg, with_cp)
            for i in range(out_indices[-1] + 1)
        )
        self.out_norms = nn.ModuleDict()
        if out_norm is not None:
            for i, channels in zip(out_indices, self.out_channels, strict=True):
                self.out_norms[str(i)] = build_norm(out_norm, channels)
        if reparameterized:
            reparameterize(self.eval())
        self.train()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            images: (B, 3, H, W), normalised, H and W at least 32; they need not be multiples of
                the strides.

        Returns:
            One map (B, out_channels[i], ceil(H / out_strides[i]), ceil(W / out_strides[i])) per
            output index.
        """
        x = self.stem(images)
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                outputs.append(self.out_norms[str(i)](x) if self.out_norms else x)
        return tuple(outputs)

    def train(self, mode: bool = True) -> 'FastViT':
        """Set the mode; frozen parts and, with `norm_eval`, all BatchNorms stay in eval mode."""
        super().train(mode)
        if self.frozen_stages >= 0:
            for module in (self.stem, *self.stages[: self.frozen_stages]):
                module.requires_grad_(False)
                _norms_to_eval(module)
        if self.norm_eval:
            _norms_to_eval(self)
        return self

    def fold_input_scale(self, std: Tensor, reverse: bool) -> None:
        """Take over the last steps of the normalisation; for the folded form.

        Args:
            std: (3,), what the input's channels, in the given order, are divided by.
            reverse: Whether their order is reversed, too.

        Raises:
            ValueError: The backbone is not folded.
        """
        first = self.stem[0]
        assert isinstance(first, MobileOneBlock)
        conv = first.reparam_conv
        if conv is None or conv.bias is None:
            raise ValueError('the stem is not folded: call reparameterize first')
        weight = conv.weight.flip(1) if reverse else conv.weight
        set_folded(conv, double(weight) / double(std).view(-1, 1, 1), conv.bias)

    def fold_outputs(self, convs: Sequence[nn.Conv2d]) -> None:
        """Fold the output norms into what follows; none of them is left. For the folded form.

        Args:
            convs: The 1x1 convolutions that alone read the outputs, one each, as an FPN's; they
                absorb the norms. Empty: each norm becomes a depthwise 1x1 convolution.
        """
        for i, (name, norm) in enumerate(self.out_norms.items()):
            if not isinstance(norm, _BatchNorm):
                continue
            scale, shift = norm_affine(norm)
            if convs:
                weight = convs[i].weight[:, :, 0, 0]
                weight, bias = fold_affine_before(weight, convs[i].bias, scale, shift)
                set_folded(convs[i], weight[:, :, None, None], bias)
                self.out_norms[name] = nn.Identity()
            else:
                conv = nn.Conv2d(len(scale), len(scale), 1, groups=len(scale))
                set_folded(conv, scale.view(-1, 1, 1, 1), shift)
                self.out_norms[name] = conv.requires_grad_(False)

    def init_weights(self) -> None:
        """Apply `init_cfg`; a pretrained file loads wholly through `PretrainedFastViT` or raises.

        mmengine's own `Pretrained` would skip in silence every tensor that does not fit.
        """
        if self.is_init:
            return
        init_cfg = self.init_cfg
        cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
        pretrained = [cfg for cfg in cfgs if cfg['type'] in ('Pretrained', PretrainedInit)]
        self.init_cfg = [cfg for cfg in cfgs if cfg not in pretrained]
        super().init_weights()
        self.init_cfg = init_cfg
        self._is_init = False  # until the file is in
        for cfg in pretrained:
            WEIGHT_INITIALIZERS.build({**cfg, 'type': 'PretrainedFastViT'})(self)
        self._is_init = True


def _check_out_indices(arch: str, out_indices: Sequence[int]) -> tuple[int, ...]:
    """Return `out_indices` as a tuple, or raise ValueError."""
    last = len(VARIANTS[arch].layers) - 1
    ok = isinstance(out_indices, Sequence) and len(out_indices) > 0
    ok = ok and all(type(i) is int and 0 <= i <= last for i in out_indices)
    if not ok or list(out_indices) != sorted(set(out_indices)):
        raise ValueError(
            f'out_indices is {out_indices!r}, expected increasing stage numbers from 0 to {last} '
            f'for {arch!r}'
        )
    return tuple(out_indices)


def _build_stem(variant: Variant, norm_cfg: str | dict) -> nn.Sequential:
    """Build the three MobileOne blocks in front, stride 4 in total."""
    channels = variant.embed_dims[0]
    block = partial(
        MobileOneBlock, norm_cfg=norm_cfg, use_scale_branch=variant.stem_use_scale_branch
    )
    return nn.Sequential(
        block(3, channels, 3, stride=2),
        block(channels, channels, 3, stride=2, groups=channels),
        block(channels, channels, 1),
    )


def _build_stage(
    variant: Variant, index: int, drop_path_rates: list[float], norm_cfg: str | dict, with_cp: bool
) -> Stage:
    """Build stage `index`; `drop_path_rates` has one entry per block of the whole network."""
    channels = variant.embed_dims[index]
    downsample: nn.Module = nn.Identity()
    pos_emb: nn.Module = nn.Identity()
    if index > 0:
        downsample = PatchEmbed(
            variant.embed_dims[index - 1],
            channels,
            norm_cfg=norm_cfg,
            use_se=index in variant.se_stages,
            use_act=variant.lkc_use_act,
        )
    if variant.mixers[index] == 'A':
        pos_emb = ConditionalPosEnc(channels)
    first = sum(variant.layers[:index])
    blocks: list[nn.Module] = []
    for rate in drop_path_rates[first : first + variant.layers[index]]:
        args = (channels, channels * variant.mlp_ratio, rate, variant.layer_scale_init, norm_cfg)
        if variant.mixers[index] == 'A':
            norm = 'LN' if variant.attention_norm == 'LN' else norm_cfg
            blocks.append(AttentionBlock(*args, attention_norm_cfg=norm))
        else:
            blocks.append(RepMixerBlock(*args))
    return Stage(downsample, pos_emb, blocks, with_cp)


def _norms_to_eval(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()


@contextmanager
def _unmoved_statistics(module: nn.Module) -> Iterator[None]:
    """Keep BatchNorms from counting a batch twice when checkpointing recomputes a block."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, _, batches in kept:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if batches is None else batches.clone()
    try:
        yield
    finally:
        for norm, momentum, batches in kept:
            norm.momentum = momentum
            norm.num_batches_tracked = batches
