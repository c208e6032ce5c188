"""The parts that all backbones share: outputs by stage, freezing, pretrained weights, folding."""

from collections.abc import Sequence

from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .arguments import check_frozen, check_init_cfg, check_switches
from .norms import build_norm
from .reparam import double, fold_affine_before, norm_affine, set_folded


class StagedBackbone(BaseModule):
    """A stem and stages one behind the other, with a norm on each output.

    Args:
        arch: The variant's name, for messages.
        num_stages: Of the whole variant.
        out_indices: Increasing stage numbers to return.
        norm_cfg: The norm inside; a BatchNorm type.
        norm_eval: Keep every BatchNorm in eval mode while training, output norms included.
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages.
        init_cfg: As of the backbones.

    Raises:
        ValueError: An argument out of its range; the message names what is possible.
    """

    init_cfg: dict | list[dict] | None
    stem: nn.Module
    stages: nn.ModuleList
    out_norms: nn.ModuleDict
    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def __init__(
        self,
        arch: str,
        num_stages: int,
        out_indices: Sequence[int],
        norm_cfg: str | dict,
        norm_eval: bool,
        frozen_stages: int,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        check_init_cfg(init_cfg)
        super().__init__(init_cfg)
        check_switches(norm_eval=norm_eval)
        check_frozen(frozen_stages, arch, num_stages)
        if not isinstance(build_norm(norm_cfg, 1, 'norm_cfg'), _BatchNorm):
            raise ValueError(
                f'norm_cfg is {norm_cfg!r}, expected a BatchNorm type such as BN or SyncBN: '
                'the convolutions cannot be folded with another'
            )
        self.arch = arch
        self.num_stages = num_stages
        self.out_indices = _check_out_indices(arch, num_stages, out_indices)
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages

    def add_output_norms(self, out_norm: str | dict | None) -> None:
        """Build the norm of every output: a type name, a config dict, or None for none.

        Called last: checkpoints keep an optimizer's state by the order of the parameters.
        """
        self.out_norms = nn.ModuleDict()
        if out_norm is not None:
            for i, channels in zip(self.out_indices, self.out_channels, strict=True):
                self.out_norms[str(i)] = build_norm(out_norm, channels, 'out_norm')

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

    def train(self, mode: bool = True) -> 'StagedBackbone':
        """Set the mode; frozen parts and, with `norm_eval`, all BatchNorms stay in eval mode."""
        super().train(mode)
        if self.frozen_stages >= 0:
            for module in (self.stem, *self.stages[: self.frozen_stages]):
                module.requires_grad_(False)
                _norms_to_eval(module)
        if self.norm_eval:
            _norms_to_eval(self)
        return self

    def folded_first_conv(self) -> nn.Conv2d | None:
        """Return the convolution that reads the images, None where it is not folded yet."""
        raise NotImplementedError

    def fold_input_scale(self, std: Tensor, reverse: bool) -> None:
        """Take over the last steps of the normalisation; for the folded form.

        Args:
            std: (3,), what the input's channels, in the given order, are divided by.
            reverse: Whether their order is reversed, too.

        Raises:
            ValueError: The backbone is not folded.
        """
        conv = self.folded_first_conv()
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


def _check_out_indices(arch: str, num_stages: int, out_indices: Sequence[int]) -> tuple[int, ...]:
    """Return `out_indices` as a tuple, or raise ValueError."""
    last = num_stages - 1
    ok = isinstance(out_indices, Sequence) and len(out_indices) > 0
    ok = ok and all(type(i) is int and 0 <= i <= last for i in out_indices)
    if not ok or list(out_indices) != sorted(set(out_indices)):
        raise ValueError(
            f'out_indices is {out_indices!r}, expected increasing stage numbers from 0 to {last} '
            f'for {arch!r}'
        )
    return tuple(out_indices)


def _norms_to_eval(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()
