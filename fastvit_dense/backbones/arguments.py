"""Arguments of the backbones, as configs and command lines give them, told by name where wrong."""

from collections.abc import Iterable
from numbers import Integral, Real


def check_arch(arch: object, known: Iterable[str]) -> None:
    """See that a variant's name is known.

    Raises:
        ValueError: It is not, or no text, such as the 1.0 that a command line reads as a number.
    """
    names = tuple(known)
    if isinstance(arch, str) and arch in names:
        return
    text = f"; it is a text: '{arch}'" if not isinstance(arch, str) and str(arch) in names else ''
    raise ValueError(f'unknown arch {arch!r}, known are {", ".join(names)}{text}')


def check_choice(name: str, value: object, choices: tuple[int, ...]) -> None:
    """See that an argument is one of some whole numbers.

    Raises:
        ValueError: It is not.
    """
    if not _is_whole(value) or value not in choices:
        shown = f'{", ".join(map(str, choices[:-1]))} or {choices[-1]}'
        raise ValueError(f'{name} is {value!r}, expected {shown}')


def check_frozen(frozen_stages: object, arch: str, num_stages: int) -> None:
    """See that there are as many stages as are to be frozen.

    Raises:
        ValueError: There are not, or it is no whole number.
    """
    if not _is_whole(frozen_stages) or not -1 <= frozen_stages <= num_stages:  # type: ignore[operator]
        raise ValueError(
            f'frozen_stages is {frozen_stages!r}, {arch!r} allows -1 (none) to {num_stages} '
            '(all stages)'
        )


def check_share(name: str, value: object, word: str) -> None:
    """See that an argument is a number from 0 to below 1.

    Raises:
        ValueError: It is not; `word` is what the message calls the number.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:  # type: ignore[operator]
        raise ValueError(f'{name} is {value!r}, expected 0 <= {word} < 1')


def check_switches(**switches: object) -> None:
    """See that arguments are true or false: a word, 'no' too, would count as true.

    Raises:
        ValueError: One is something else.
    """
    for name, value in switches.items():
        if not isinstance(value, Integral) or value not in (0, 1):
            raise ValueError(f'{name} is {value!r}, expected True or False')


def check_init_cfg(init_cfg: object) -> None:
    """See that a description of first weights is a dict with its type, a list of such, or None.

    Raises:
        ValueError: It is not, such as the path of a file alone.
    """
    if init_cfg is None or init_cfg == {}:
        return
    parts = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    if not all(isinstance(part, dict) and 'type' in part for part in parts):
        raise ValueError(
            f'init_cfg is {init_cfg!r}, expected None, or dict(type=...) or a list of such; for a '
            "file: dict(type='Pretrained', checkpoint='FILE')"
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
