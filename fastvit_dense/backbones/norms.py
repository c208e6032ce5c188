"""Norms by their registered names, and stochastic depth."""

from torch import Tensor, nn

from ..errors import reason_of


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every position by itself; the shape stays."""
        x = super().forward(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2)


def build_norm(cfg: str | dict, channels: int, argument: str = 'norm_cfg') -> nn.Module:
    """Build a norm for (B, channels, H, W) from a registered type name or a config dict.

    Args:
        cfg: 'BN', or dict(type='BN', ...).
        channels: Of the maps.
        argument: What messages call `cfg`.

    Raises:
        ValueError: Nothing can be built from `cfg`; the message says what it lacks.
    """
    from mmcv.cnn import build_norm_layer  # late: mmcv loads OpenCV and mmengine's runner

    told = f'{argument}: cannot build a norm from {cfg!r}'
    if not isinstance(cfg, str | dict):
        raise ValueError(f"{told}: expected a type's name such as 'BN', or dict(type='BN', ...)")
    args = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
    if not args.get('type'):
        raise ValueError(f"{told}: a norm needs a 'type'")
    if args['type'] in ('GN', nn.GroupNorm) and 'num_groups' not in args:
        needed = "needs 'num_groups': dict(type='GN', num_groups=32)"
        raise ValueError(f'{told}: {args["type"]} {needed}')
    if args['type'] == 'LN':
        args['type'] = LayerNorm2d
    try:
        return build_norm_layer(args, channels)[1]
    except (KeyError, RuntimeError) as error:
        known = "expected one of mmengine's registry, such as 'BN', 'SyncBN', 'LN'"
        raise ValueError(f'{told}: no such type; {known}') from error
    except (TypeError, ValueError) as error:
        raise ValueError(f'{told}: {reason_of(error)}') from error


def build_drop_path(rate: float) -> nn.Module:
    """Build stochastic depth: whole residual branches of samples are dropped in training."""
    from mmcv.cnn.bricks import DropPath

    return DropPath(rate)
