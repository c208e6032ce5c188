"""Reading a config: the file, then the sample settings, then the options of the command line."""

import difflib
import inspect
import os
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
DATASET_WRAPPERS = ('dataset', 'datasets')
REGISTRIES = (
    'MODELS',
    'DATASETS',
    'TRANSFORMS',
    'METRICS',
    'HOOKS',
    'LOOPS',
    'DATA_SAMPLERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'PARAM_SCHEDULERS',
    'TASK_UTILS',
    'VISUALIZERS',
    'VISBACKENDS',
    'LOG_PROCESSORS',
)
# Top-level keys that mmengine's Runner reads from the config without taking them as arguments.
READ_BY_RUNNER = {'auto_scale_lr', 'find_unused_parameters', 'model_wrapper_cfg', 'compile'}
# What its `build_optim_wrapper` and `build_dataloader` read beside the parameters of the classes.
READ_OF_OPTIM_WRAPPER = {'constructor', 'paramwise_cfg'}
READ_OF_LOADER = {'num_batch_per_epoch', 'disable_subprocess_warning'}


class ConfigError(ValueError):
    """A config file or an option that cannot be used; the message says which and why."""


def load_config(
    path: str | os.PathLike,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] | dict[str, Any] | None = None,
    pretrained: bool = True,
) -> Config:
    """Read a config file and make it ready to build from.

    Args:
        path: The config file.
        sample: Apply the settings of the embedded sample data (`sample_settings.py`).
        cfg_options: `key=value` strings, or a dict, applied last.
        pretrained: False where a checkpoint follows: no pretrained file is looked for.

    Raises:
        ConfigError: The file is missing or broken, or an option names an unknown key.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'{path}: no such config file{_similar_files(path)}')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # the file is a program, which fails in any way
        raise ConfigError(f'{path}: cannot be read: {_reason(error)}') from error
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(f'{path}: no model in it, expected the config of a whole model')
    if sample:
        from .sample_settings import apply_sample_settings

        apply_sample_settings(cfg)
    if cfg_options:
        merge_options(cfg, cfg_options)
    spread_classes(cfg)
    if sample or not pretrained:
        remove_pretrained(cfg.model)
    return cfg


def _reason(error: Exception) -> str:
    """The kind of an error, its text, and the line at the level of a module that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f' ({f.filename}, line {f.lineno})' for f in frames if f.name == '<module>']
    return f'{type(error).__name__}: {error}{lines[-1] if lines else ""}'


def _similar_files(path: Path) -> str:
    names = [p.name for p in path.parent.glob('*.py')] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f'; did you mean {path.parent / close[0]}?' if close else ''


# ------------------------------------------------------------------------------- options


def parse_options(options: Iterable[str]) -> dict[str, Any]:
    """Turn `key=value` strings into a dict, values read as mmengine's `DictAction` reads them."""
    parsed = {}
    for option in options:
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise ConfigError(f'--cfg-options {option}: expected KEY=VALUE')
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


def merge_options(cfg: Config, options: Iterable[str] | dict[str, Any]) -> None:
    """Apply options to a config, refusing keys that nothing would read.

    Known is a key that stands in the config, an argument of mmengine's Runner, or a parameter
    of the type named in the dict that would hold it. `X._delete_=True` empties the dict X first,
    its type aside.

    Raises:
        ConfigError: An unknown key; the message names the nearest known one.
    """
    options = options if isinstance(options, dict) else parse_options(options)
    # what is emptied first, then types: other options may be parameters of a new type
    order = {'_delete_': 0, 'type': 1}
    for key in sorted(options, key=lambda key: order.get(key.rpartition('.')[2], 2)):
        _check_key(cfg, key)
        if key.endswith('._delete_'):
            _empty(cfg, key, options[key])
            continue
        if key.endswith('.type'):
            _check_type(cfg, key, options[key])
        cfg.merge_from_dict({key: options[key]})


def _empty(cfg: Config, key: str, value: Any) -> None:
    if value is not True:
        raise ConfigError(f'--cfg-options {key}: expected True, found {value!r}')
    node = _holder(cfg, key)
    for name in node.keys() - {'type', '_scope_'}:
        del node[name]


def _holder(cfg: Config, key: str) -> Any:
    """The dict or list that holds, or would hold, the last part of a key."""
    node: Any = cfg._cfg_dict
    for part in key.split('.')[:-1]:
        node = node[int(part)] if isinstance(node, list | tuple) else node.get(part, {})
    return node


def _check_key(cfg: Config, key: str) -> None:
    node: Any = cfg._cfg_dict
    parts = key.split('.')
    for depth, part in enumerate(parts):
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f'--cfg-options {key}: {".".join(parts[:depth])} is a list of {len(node)} '
                    f'entries, expected an index below that, found {part!r}'
                )
            node = node[int(part)]
        elif isinstance(node, dict):
            if part not in node:
                _check_new_key(cfg, node, parts, depth)
                return
            node = node[part]
        else:
            raise ConfigError(
                f'--cfg-options {key}: {".".join(parts[:depth])} is {node!r}, '
                f'it has no field {part!r}'
            )


def _check_new_key(cfg: Config, node: dict, parts: list[str], depth: int) -> None:
    known = set(node)
    if depth == 0:
        from mmengine.runner import Runner

        known |= set(parameters_of(Runner)) | READ_BY_RUNNER
    elif depth == 1 and parts[0] in LOADERS:
        from torch.utils.data import DataLoader

        known |= set(parameters_of(DataLoader)) | READ_OF_LOADER
    elif depth == 1 and parts[0] == 'optim_wrapper':
        known |= READ_OF_OPTIM_WRAPPER
    cls = find_type(node.get('type'), node.get('_scope_', cfg.get('default_scope')))
    if cls is not None:
        known |= set(parameters_of(cls))
    if parts[depth] in known or (depth and parts[depth:] == ['_delete_']):
        return
    close = difflib.get_close_matches(parts[depth], sorted(map(str, known)), n=1, cutoff=0.0)
    nearest = '.'.join([*parts[:depth], close[0]]) if close else 'none'
    where = f' of {node["type"]}' if node.get('type') else ''
    raise ConfigError(
        f'--cfg-options {".".join(parts)}: unknown key {parts[depth]!r}{where}; '
        f'the nearest known one is {nearest}'
    )


def _check_type(cfg: Config, key: str, value: Any) -> None:
    """Refuse a type that no registry knows where the one before it stands in a registry."""
    node = _holder(cfg, key)
    scope = node.get('_scope_', cfg.get('default_scope'))
    before = node.get('type')
    if not isinstance(value, str) or find_type(value, scope) or not find_type(before, scope):
        return
    raise ConfigError(f'--cfg-options {key}={value}: {no_such_type(value, scope)}')


def no_such_type(name: str, scope: str | None) -> str:
    """Tell that no registry knows a type, with the nearest name that one knows."""
    import mmengine.registry

    known: set[str] = set()
    for registry in REGISTRIES:
        with getattr(mmengine.registry, registry).switch_scope_and_registry(scope) as current:
            while current is not None:
                known |= set(current.module_dict)
                current = current.parent
    close = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f'; did you mean {close[0]!r}?' if close else ''
    return f'no type {name!r} is registered{hint}'


def parameters_of(cls: Any) -> dict[str, inspect.Parameter]:
    """Parameters of a class or function by name; those of the bases that it hands `**kwargs` to."""
    found: dict[str, inspect.Parameter] = {}
    for base in inspect.getmro(cls) if inspect.isclass(cls) else (cls,):
        function = base.__dict__.get('__init__') if inspect.isclass(base) else base
        if function is None or base is object:
            continue
        parameters = inspect.signature(function).parameters.values()
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found = {p.name: p for p in named} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    found.pop('self', None)
    return found


def find_type(name: Any, scope: str | None = None) -> Any:
    """Return the class that a config's `type` names, whichever registry holds it, or None."""
    if not isinstance(name, str):
        return name
    import mmengine.registry

    for registry in REGISTRIES:
        with getattr(mmengine.registry, registry).switch_scope_and_registry(scope) as current:
            found = current.get(name)
        if found is not None:
            return found
    return None


# ------------------------------------------------------------------------------- classes


def datasets_of(cfg: Config, loaders: Iterable[str] = LOADERS) -> Iterator[ConfigDict]:
    """Yield the innermost dataset dicts of the given dataloaders, wrappers opened."""
    for name in loaders:
        loader = cfg.get(name)
        if loader is not None and not isinstance(loader, dict):
            raise ConfigError(f'{cfg.filename}: {name}: expected a dict, found {loader!r}')
        if loader:
            yield from _innermost(loader['dataset'])


def _innermost(dataset: ConfigDict) -> Iterator[ConfigDict]:
    inner = [dataset[key] for key in DATASET_WRAPPERS if key in dataset]
    if not inner:
        yield dataset
    for item in inner:
        for child in item if isinstance(item, list | tuple) else [item]:
            yield from _innermost(child)


def dataset_classes(dataset: ConfigDict, scope: str | None = None) -> tuple[str, ...] | None:
    """Classes of a dataset dict: its `metainfo.classes`, else those of its type."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        cls = find_type(dataset.get('type'), dataset.get('_scope_', scope))
        classes = getattr(cls, 'METAINFO', {}).get('classes')
    return tuple(classes) if classes else None


def spread_classes(cfg: Config) -> None:
    """Make every dataset and every head follow the classes of the training dataset.

    The one knob is `metainfo.classes` of the training dataset; datasets of the other
    dataloaders that name no classes of their own take it over.
    """
    training = next(datasets_of(cfg, LOADERS[:1]), None)
    metainfo = (training or {}).get('metainfo') or {}
    if not metainfo.get('classes'):
        return
    if isinstance(metainfo['classes'], str):
        metainfo['classes'] = (metainfo['classes'],)
    for dataset in datasets_of(cfg, LOADERS[1:]):
        if not (dataset.get('metainfo') or {}).get('classes'):
            dataset['metainfo'] = ConfigDict(metainfo)
    set_num_classes(cfg.model, len(metainfo['classes']))


def set_num_classes(model: Any, count: int) -> None:
    """Set the number of classes in every head of a model dict, in place."""
    if isinstance(model, list | tuple):
        for child in model:
            set_num_classes(child, count)
    elif isinstance(model, dict):
        before = model.get('num_classes', model.get('num_things_classes'))
        for key in ('num_classes', 'num_things_classes'):
            if model.get(key):
                model[key] = count
        for child in model.values():
            set_num_classes(child, count)
        weights = (model.get('loss_cls') or {}).get('class_weight')
        if isinstance(weights, list | tuple) and before and len(weights) == before + 1:
            model['loss_cls']['class_weight'] = [weights[0]] * count + [weights[-1]]


def remove_pretrained(model: Any) -> None:
    """Drop every `init_cfg` of type Pretrained and every `pretrained` from a model dict."""
    if isinstance(model, list | tuple):
        for child in model:
            remove_pretrained(child)
    elif isinstance(model, dict):
        init = model.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            model['init_cfg'] = None
        if model.get('pretrained'):
            model['pretrained'] = None
        for child in model.values():
            remove_pretrained(child)


# metric of the model zoos: ours, which takes its arguments and gives its numbers
OWN_METRICS = {'CocoMetric': 'InstanceMetric', 'IoUMetric': 'SemanticMetric'}


def use_own_metric(cfg: Config) -> None:
    """Put our metric in place of mmdet's or mmseg's in the test evaluator of a config.

    Ours keeps what the report shows and reads saved predictions.
    """
    evaluator = cfg.get('test_evaluator')
    if not isinstance(evaluator, dict) or 'proposal' in str(evaluator.get('metric')):
        return
    own = OWN_METRICS.get(str(evaluator.get('type')).rpartition('.')[2])
    if own:
        evaluator.type = own
        evaluator.pop('use_mp_eval', None)  # processes of mmdet's, for speed


def default_work_dir(config: str | os.PathLike) -> str:
    """`work_dirs/` and the config's name, as in mmdet and mmseg."""
    return str(Path('work_dirs') / Path(config).stem)


TASKS = {
    'instance': 'BaseDetDataset',
    'semantic': 'BaseSegDataset',
    'hand': 'FreiHAND',
}


def task_of(cfg: Config) -> str:
    """Return 'instance', 'semantic' or 'hand', by the base class of the config's dataset.

    Raises:
        ConfigError: The dataset is of none of the three kinds.
    """
    dataset = next(
        datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')), None
    )
    if dataset is None:
        raise ConfigError(f'{cfg.filename}: no dataset in any of {", ".join(LOADERS)}')
    cls = find_type(dataset.get('type'), dataset.get('_scope_', cfg.get('default_scope')))
    if cls is None:
        raise ConfigError(f'{cfg.filename}: no dataset type {dataset.get("type")!r} is registered')
    names = {base.__name__ for base in inspect.getmro(cls)}
    for task, base in TASKS.items():
        if base in names:
            return task
    raise ConfigError(
        f'{cfg.filename}: dataset {dataset["type"]}: expected a subclass of one of '
        f'{", ".join(TASKS.values())}'
    )
