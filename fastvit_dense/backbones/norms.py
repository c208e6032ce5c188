"""Norms by their registered names, and stochastic depth."""

from torch import Tensor, nn

from ..errors import reason_of


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every position by itself; the shape stays."""
        x = super().forward(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2)


def build_norm(cfg: str | dict, channels: int) -> nn.Module:
    """Build a norm for (B, channels, H, W) from a registered type name or a config dict.

    Raises:
        ValueError: Nothing can be built from `cfg`; the message says what it lacks.
    """
    from mmcv.cnn import build_norm_layer  # late: mmcv loads OpenCV and mmengine's runner

    try:
        args = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
        if 'type' not in args:
            raise TypeError("a norm needs a 'type'")
        if args['type'] in ('GN', nn.GroupNorm) and 'num_groups' not in args:
            raise TypeError(f"{args['type']} needs 'num_groups': dict(type='GN', num_groups=32)")
        if args['type'] == 'LN':
            args['type'] = LayerNorm2d
        return build_norm_layer(args, channels)[1]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'cannot build a norm from {cfg!r}: {reason_of(error)}') from error


def build_drop_path(rate: float) -> nn.Module:
    """Build stochastic depth: whole residual branches of samples are dropped in training."""
    from mmcv.cnn.bricks import DropPath

    return DropPath(rate)
