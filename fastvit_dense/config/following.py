"""The data of the test follows that of the validation where only that was set."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from .reading import CONFIGS

ABSENT = object()
# parts of a dataset or an evaluator that do not say which data it is
NO_DATA = {'pipeline', 'indices', 'test_mode', 'format_only', 'output_dir', 'outfile_prefix'}


def follow_val(cfg: Config, before: Config) -> None:
    """Give the test what was set for the validation, in place, where nothing was set for it.

    Dataset and evaluator follow key by key, as far as both were the same before: the test set of
    FreiHAND stays another split, in the folder of the user's own.

    Args:
        cfg: The config with all settings.
        before: The config without those of the user.
    """
    pairs = []
    for name, key in (('dataloader', 'dataset'), ('evaluator', None)):
        found = [_part(c, f'{part}_{name}', key) for c in (before, cfg) for part in ('val', 'test')]
        val_before, test_before, val, test = found
        if _without_rest(test) != _without_rest(test_before):
            return
        pairs.append((name, key, val_before, val, test))
    for name, key, val_before, val, test in pairs:
        if isinstance(val_before, dict) and isinstance(val, dict) and isinstance(test, dict):
            _follow(val_before, val, test)
        elif val not in (val_before, None) and test == val_before:  # None: no validation
            holder, last = (cfg[f'test_{name}'], key) if key else (cfg, f'test_{name}')
            holder[last] = copy.deepcopy(val)


def settings_before(path: str | Path) -> Config | None:
    """The config that the user's own files start from: what comes with a package.

    None where they start from nothing, or do not speak of the validation.
    """
    text = Path(path).read_text(encoding='utf-8')
    if _is_shipped(path) and 'val_' not in text:
        return None
    parts = [Config.fromfile(base) for base in _foundations(path)]
    merged = {key: value for part in parts for key, value in part._cfg_dict.items()}
    return Config(ConfigDict(merged)) if merged else None


def _foundations(path: str | Path) -> Iterator[str]:
    for base in Config._get_base_files(str(path)):
        found, scope = Config._get_cfg_path(base, str(path))
        if scope is not None or _is_shipped(found):
            yield found
        else:
            yield from _foundations(found)


def _is_shipped(path: str | Path) -> bool:
    return Path(path).resolve().is_relative_to(CONFIGS)


def _part(cfg: Config, name: str, key: str | None) -> Any:
    node = cfg.get(name)
    return (node or {}).get(key) if key else node


def _without_rest(node: Any) -> Any:
    return {k: v for k, v in node.items() if k not in NO_DATA} if isinstance(node, dict) else node


def _follow(val_before: dict, val: dict, test: dict) -> None:
    for key in {**val_before, **val}:
        old, new, own = (node.get(key, ABSENT) for node in (val_before, val, test))
        if key in NO_DATA or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and isinstance(own, dict):
            _follow(old, new, own)
        elif own == old:
            if new is ABSENT:
                del test[key]
            else:
                test[key] = copy.deepcopy(new)
