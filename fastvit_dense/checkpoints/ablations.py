"""FastViT's switches `overparameterized` and `large_kernels`, read off its tensors."""

from collections.abc import Mapping

from torch import Tensor

_FFN = 'stages.0.blocks.0.mlp.conv.conv.weight'
_MIXER = 'stages.0.blocks.0.token_mixer.mixer.{}.conv.weight'


def read_switches(tensors: Mapping[str, Tensor]) -> dict[str, bool]:
    """Return the switches that tensors (our names) tell; the folded form does not tell the first.

    Args:
        tensors: Of a FastViT, whole or in part.
    """
    switches = {}
    if _MIXER.format('conv_kxk.0') in tensors:
        switches['overparameterized'] = _MIXER.format('conv_scale') in tensors
    if _FFN in tensors and tensors[_FFN].dim() == 4:
        switches['large_kernels'] = tensors[_FFN].shape[-1] > 3
    return switches


def explain_switches(of_file: Mapping[str, Tensor], of_network: Mapping[str, Tensor]) -> list[str]:
    """Tell in lines which switches a file's FastViT and a network's differ in."""
    file, network = read_switches(of_file), read_switches(of_network)
    return [
        f'  The file was trained with {name}={value}, the network has {name}={network[name]}: '
        f'build it with {name}={value}, as all published files are, or start from other weights.'
        if value
        else f'  The file was trained with {name}=False: build the network with {name}=False.'
        for name, value in file.items()
        if network.get(name, value) != value
    ]
