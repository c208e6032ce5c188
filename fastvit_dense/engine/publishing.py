"""A trained model as a folder for a hub: weights, model card, metafile row."""

import ast
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config
from torch import Tensor

from ..checkpoints.convert import KEPT_META, weights_of, write_weights
from ..checkpoints.files import file_sha256, write_files
from ..checkpoints.mmengine_loading import is_plain_config
from ..checkpoints.published import LICENCES, PUBLISHED, published_name
from ..checkpoints.reader import load_checkpoint_file
from ..errors import CheckpointError, DataError
from ..evaluation.metric_names import format_value
from ..evaluation.report.compare import read_report
from ..evaluation.report.tables import cell, table
from ..tasks import task_of

# of a run's config: they name folders of the machine that it ran on
_OF_THE_MACHINE = ('work_dir', 'load_from', 'resume', 'launcher')
_IN_A_NAME = re.compile(r'[^\w.-]+')  # what a name of a file does not have


def publish(
    checkpoint: str | Path,
    out: str | Path,
    name: str | None = None,
    report: str | Path | None = None,
    ema: bool = False,
) -> list[Path]:
    """Write `NAME-HASH.pth`, `README.md` (the model card) and `metafile.yml` into a folder.

    Args:
        checkpoint: A file that training wrote.
        out: The folder, made if it does not exist.
        name: Of the model, of letters, digits and `._-`; by default that of its config.
        report: `report.json` of its evaluation, or the folder of it; None: no numbers.
        ema: Take the averaged weights.

    Returns:
        The three files.

    Raises:
        CheckpointError: The file cannot be read, is not of a training run (no config in it), or
            its config holds code; or the name is none of a file.
        DataError: The report cannot be read, or is of another checkpoint.
    """
    path, out = Path(checkpoint).expanduser(), Path(out)
    if name is not None and (not name.strip('.') or _IN_A_NAME.search(name)):
        raise CheckpointError(
            f'--name: expected letters, digits, dots, - and _, as of a file, found {name!r}'
        )
    content = load_checkpoint_file(path)
    meta = content.get('meta') if isinstance(content, Mapping) else None
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    if not isinstance(text, str) or not isinstance(meta, Mapping):
        raise CheckpointError(
            f'{path}: meta.cfg: expected the config of the training run, found none; '
            'weights alone: `fastvit-dense convert-weights FILE OUT --to fastvit_dense --publish`'
        )
    if not is_plain_config(text):
        raise CheckpointError(f'{path}: meta.cfg holds code: such a config is not published')
    cfg = Config.fromstring(text, '.py')
    if not isinstance(cfg.get('model'), dict):
        raise CheckpointError(
            f'{path}: meta.cfg: expected the config of a whole model, found none in it'
        )
    if not isinstance(meta.get('dataset_meta') or {}, dict):
        raise CheckpointError(
            f'{path}: meta.dataset_meta: expected a dict, found {meta["dataset_meta"]!r:.80}'
        )
    scores = _report_of(report, path) if report else None
    state = weights_of(content, path, ema)
    start = _start_of(cfg)
    text = _without_machine(text, (meta.get('dataset_meta') or {}).get('classes') or ())
    kept = {key: meta[key] for key in KEPT_META if key in meta} | {'cfg': text}
    name = name or _name_of(meta, path)
    out.mkdir(parents=True, exist_ok=True)
    file = write_weights({'state_dict': state, 'meta': kept}, state, out / f'{name}.pth', True)
    cfg = Config.fromstring(text, '.py')
    facts = _facts(cfg, kept, name, file)
    facts |= {'parameters': _count_parameters(state), 'start': start}
    row = yaml.safe_dump({'Models': [_metafile_row(facts, scores)]}, sort_keys=False)
    write_files(out, {'README.md': _card(facts, scores), 'metafile.yml': row})
    return [file, out / 'README.md', out / 'metafile.yml']


def _report_of(report: str | Path, checkpoint: Path) -> dict[str, Any]:
    """Read a report and see that it is of this checkpoint."""
    scores = read_report(report)
    found = (scores.get('model') or {}).get('checkpoint_sha256')
    expected = file_sha256(checkpoint)
    if found != expected:
        raise DataError(
            f'{report}: model.checkpoint_sha256: expected {expected[:8]}..., that of {checkpoint}, '
            f'found {str(found)[:8]}: the report is of another checkpoint'
        )
    return scores


class _NamesOnly(ast.NodeTransformer):
    """Leaves the last part of absolute paths: data and weights lay there on one machine.

    Args:
        classes: Names that may look like paths, such as Open Images' '/m/01g317'; they stay.
    """

    def __init__(self, classes: Collection[str]) -> None:
        self.classes = classes

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        """Return the constant, or the name in its path."""
        value = node.value
        if isinstance(value, str) and value.startswith('/') and value not in self.classes:
            return ast.Constant(Path(value).name)
        return node


def _without_machine(text: str, classes: Collection[str]) -> str:
    """Drop what a config (literals only) tells of one machine: assignments and folders."""
    names = _NamesOnly(classes)
    kept = [
        ast.unparse(names.visit(statement))
        for statement in ast.parse(text).body
        if not any(getattr(t, 'id', None) in _OF_THE_MACHINE for t in _targets(statement))
    ]
    return '\n'.join(kept) + '\n'


def _targets(statement: ast.stmt) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else []


def _name_of(meta: Mapping[str, Any], path: Path) -> str:
    """Return the name of the run without its time, fit for a file."""
    name = re.sub(r'_\d{8}_\d{6}$', '', str(meta.get('experiment_name') or path.stem))
    return _IN_A_NAME.sub('_', name)


def _start_of(cfg: Config) -> str:
    """Name what training began from, '' for random weights; of a file its name alone."""
    init_cfg = cfg.model.get('backbone', {}).get('init_cfg')
    start = cfg.get('load_from') or (
        init_cfg.get('checkpoint') if isinstance(init_cfg, dict) else None
    )
    name = published_name(str(start or ''))
    return name if name in PUBLISHED or '://' in name else Path(name).name


def _count_parameters(state: Mapping[str, Tensor]) -> int:
    """Count the numbers of a state dict that are not statistics of a BatchNorm."""
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    return sum(tensor.numel() for name, tensor in state.items() if not name.endswith(statistics))


def _facts(cfg: Config, meta: Mapping[str, Any], name: str, file: Path) -> dict[str, Any]:
    """Collect what card and row say of the model."""
    backbone = cfg.model.get('backbone') or {}
    return {
        'name': name,
        'file': file.name,
        'sha256': file_sha256(file),
        'task': task_of(cfg).name,
        'model': cfg.model.type,
        'backbone': ' '.join(filter(None, (backbone.get('type'), backbone.get('arch')))),
        'classes': list((meta.get('dataset_meta') or {}).get('classes') or ()),
        'epoch': meta.get('epoch'),
        'iter': meta.get('iter'),
    }


def _metafile_row(facts: Mapping[str, Any], scores: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the model's row in the form of OpenMMLab's metafiles; numbers of a report only."""
    row = {
        'Name': facts['name'],
        'Weights': facts['file'],
        'Metadata': {
            'Architecture': [facts['model'], facts['backbone']],
            'Epochs': facts['epoch'],
            'Iterations': facts['iter'],
            'Parameters': facts['parameters'],
            'SHA256': facts['sha256'],
        },
        'Results': [],
    }
    if scores:
        result = {
            'Task': scores['task'],
            'Dataset': f'{scores["dataset"]} {scores["split"]}'.strip(),
            'Metrics': {key: float(value) for key, value in scores['metrics'].items()},
        }
        row['Results'] = [result]
    return row


def _card(facts: Mapping[str, Any], scores: Mapping[str, Any] | None) -> str:
    """Return the model card, a README in the form that Hugging Face reads."""
    published = PUBLISHED.get(facts['start'])
    terms = LICENCES.get((published and published.licence) or '', '')
    licence = f' ({published.licence}: {terms})' if published and terms else ''
    start = f'`{facts["start"]}`{licence}' if facts['start'] else 'random weights'
    family = facts['backbone'].split(' ')[0].lower()  # 'fastvit', 'mobilevit', another's
    tags = [tag for tag in (family, facts['task']) if tag]
    head = dict(library_name='fastvit_dense', license='other', tags=tags)
    use = f'from fastvit_dense import load_model\n\nmodel = load_model({facts["file"]!r})\n'
    use += "model('photo.jpg').save('photo.png')\n"
    parts = [
        f'---\n{yaml.safe_dump(head, sort_keys=False)}---',
        f'# {facts["name"]}',
        f'{facts["model"]} with {facts["backbone"]}, {facts["parameters"]:,} parameters; trained '
        f'for {facts["epoch"]} epochs, {facts["iter"]} steps. Training began from {start}.',
        '**Licence**: to be stated by who publishes it; the licences of the weights it began from '
        'and of its training data go on to it.',
        f'```python\n{use}```',
    ]
    if facts['classes']:
        parts.append(f'Classes ({len(facts["classes"])}): ' + cell(', '.join(facts['classes'])))
    if scores:
        where = f'{scores["dataset"]} {scores["split"]}'.strip()
        rows = [[key, format_value(key, value)] for key, value in scores['metrics'].items()]
        parts.append(f'## Measured on {where}, {scores["samples"]:,} samples')
        parts.append(table(['metric', 'value'], rows))
        parts.append(table(['protocol', ''], [[k, str(v)] for k, v in scores['protocol'].items()]))
    else:
        parts.append('No evaluation comes with it.')
    parts.append(f'SHA-256 of `{facts["file"]}`: `{facts["sha256"]}`')
    return '\n\n'.join(parts) + '\n'
