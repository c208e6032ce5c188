"""The findings of a check of a config's data: their text, and their JSON."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..bit_depth import DepthLook

EXAMPLES = 3  # messages shown of each kind

# Kind of a finding, or reason why something is not used -> what it is, in words
KINDS = {
    'annotation_file': 'annotation file that cannot be read',
    'area': 'area that cannot be',
    'bit_depth': 'more than 8 bits a channel',
    'box': 'box that cannot be',
    'box_without_area': 'box of no area',
    'broken_image': 'picture that cannot be read',
    'broken_mask': 'mask that cannot be read',
    'below_one_pixel': 'box narrower or lower than one pixel',
    'camera': 'camera that belongs to other pictures',
    'class_absent': 'class without objects',
    'class_not_used': 'class whose objects are all left out',
    'class_weight': 'class weights that do not fit',
    'classes': 'class names that do not fit',
    'crowd': 'annotation with iscrowd=1, which is no object to train on',
    'dataset': 'dataset that cannot be built',
    'doubled': 'annotation that stands there twice',
    'doubled_image': 'picture under several image ids',
    'duplicate_id': 'id that stands there twice',
    'duplicate_name': 'category name that stands there twice',
    'empty_list': 'empty list',
    'evaluator': 'evaluator that reads another file than the dataset',
    'exif': 'picture with an orientation for viewers',
    'fingertips': 'fingertips that are no vertices of the mesh',
    'field': 'field that is missing or of the wrong type',
    'ignore': 'annotation with ignore=1',
    'ignore_index': 'ignored label that differs',
    'ignored_pixels': 'pixels that count for no class',
    'image_below_min_size': 'picture smaller than filter_cfg.min_size',
    'image_missing': 'picture that is not there',
    'image_size': 'picture of another size than expected',
    'joint_mismatch': 'joints that are not those of the annotated mesh',
    'links': 'link to a folder that holds it',
    'lossy_mask': 'mask in a format that changes values',
    'mano': 'MANO parameters that cannot be',
    'mano_mesh_mismatch': 'MANO parameters that do not give the annotated mesh',
    'mask': 'mask that cannot be',
    'mask_box_mismatch': 'mask that does not lie where its box lies',
    'mask_missing': 'mask that is not there',
    'mask_size': 'mask of another size than its picture',
    'mask_without_image': 'mask without picture',
    'missing': 'data that is not there',
    'no_annotation': 'picture without annotations',
    'no_dataset': 'no dataset',
    'no_ground_truth': 'no ground truth',
    'not_checked': 'not checked',
    'nothing_used': 'nothing is left to train on',
    'num_classes': 'number of classes that differs',
    'one_class': 'one class under softmax',
    'other_class': 'annotation of a class that the config does not name',
    'outside': 'box or polygon that leaves the picture',
    'outside_folder': 'file name that leads out of the folder of pictures',
    'palette': 'palette that differs',
    'reduce_zero_label': 'reduce_zero_label that differs',
    'suffix': 'file of another suffix',
    'train_and_val': 'picture that is in the training data and in val or test',
    'unit': 'another unit of length',
    'unknown_category': 'category that the file does not have',
    'unknown_image': 'image that the file does not have',
    'value': 'value outside the classes',
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ('error') or may be ('warning').

    Attributes:
        severity: 'error' or 'warning'.
        kind: One of `KINDS`.
        where: File and entry, or the place in the config.
        message: What was expected, what was found, and what to do.
    """

    severity: str
    kind: str
    where: str
    message: str

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def __str__(self) -> str:
        return f'{self.where}: {self.message}'


@dataclass
class DatasetReport:
    """Counts and findings of one dataset.

    "Used" is what the dataset gives to training after its own filters, `indices` aside.

    Attributes:
        loaders: Of 'train', 'val', 'test', those that use it.
        source: Its file or folder.
        kind: Its type.
        unit: What annotations are: 'annotations' or 'pixels'.
        images, images_used: Pictures.
        annotations, annotations_used: Objects, hands, or pixels that have a label.
        discarded: Reason, one of `KINDS` -> annotations left out; under 'no_annotation', pictures.
        per_class: Class -> annotations used.
        notes: Further lines of text for the summary.
        findings: Each once, in the order in which they were found.
        pictures: Paths of its pictures.
        depth: Its pictures of more than 8 bits, where there are any.
    """

    loaders: list[str]
    source: str = ''
    kind: str = ''
    unit: str = 'annotations'
    images: int = 0
    images_used: int = 0
    annotations: int = 0
    annotations_used: int = 0
    discarded: Counter[str] = field(default_factory=Counter)
    per_class: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    findings: dict[Finding, None] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    depth: DepthLook | None = None

    def add(self, finding: Finding) -> None:
        """Note a finding once."""
        self.findings.setdefault(finding)

    def error(self, kind: str, where: object, message: str) -> None:
        """Note an error."""
        self.add(Finding('error', kind, str(where), message))

    def warning(self, kind: str, where: object, message: str) -> None:
        """Note a warning."""
        self.add(Finding('warning', kind, str(where), message))

    @property
    def has_errors(self) -> bool:
        """True where an error was noted."""
        return any(finding.severity == 'error' for finding in self.findings)

    def to_dicts(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON object of each dataloader."""
        told: dict[str, list[dict[str, str]]] = {'error': [], 'warning': []}
        for f in self.findings:
            told[f.severity].append({'kind': f.kind, 'where': f.where, 'message': f.message})
        for loader in self.loaders:
            yield {
                'loader': loader,
                'source': self.source,
                'images': self.images,
                'images_used': self.images_used,
                'annotations': self.annotations,
                'annotations_used': self.annotations_used,
                'discarded': {reason: n for reason, n in self.discarded.items() if n},
                'per_class': self.per_class,
                'errors': told['error'],
                'warnings': told['warning'],
            }

    def __str__(self) -> str:
        lines = [f'{", ".join(self.loaders)}: {self.kind}, {self.source}'.rstrip(', ')]
        counted = [_of(self.images_used, self.images, 'images')] if self.images else []
        if self.annotations:
            counted.append(_of(self.annotations_used, self.annotations, self.unit))
        left_out = ', '.join(f'{reason} {n}' for reason, n in self.discarded.items() if n)
        if counted:
            lines.append(
                f'  {", ".join(counted)}' + (f' (left out: {left_out})' if left_out else '')
            )
        lines += [f'  {note}' for note in self.notes]
        total = max(sum(self.per_class.values()), 1)
        in_pixels = self.unit == 'pixels'
        table = ' | '.join(
            f'{name} {n / total:.1%}' if in_pixels else f'{name} {n}'
            for name, n in self.per_class.items()
        )
        lines += textwrap.wrap(table, 96, initial_indent='  ', subsequent_indent='  ')
        return '\n'.join(lines)


@dataclass
class DataReport:
    """Everything that a check found, dataset by dataset."""

    datasets: list[DatasetReport] = field(default_factory=list)

    def of(self, loader: str) -> DatasetReport:
        """The first dataset of 'train', 'val' or 'test'."""
        return next(dataset for dataset in self.datasets if loader in dataset.loaders)

    def findings(self, severity: str) -> dict[Finding, list[str]]:
        """Findings -> the dataloaders that they concern; what several share stands there once."""
        found: dict[Finding, list[str]] = {}
        for dataset in self.datasets:
            for finding in dataset.findings:
                if finding.severity == severity:
                    found.setdefault(finding, []).extend(dataset.loaders)
        return found

    @property
    def errors(self) -> list[str]:
        """Messages of the errors."""
        return list(map(str, self.findings('error')))

    @property
    def warnings(self) -> list[str]:
        """Messages of the warnings."""
        return list(map(str, self.findings('warning')))

    def describe(self, severity: str) -> str:
        """List the findings of a severity by kind, the first few of each."""
        groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding, loaders in self.findings(severity).items():
            groups[', '.join(dict.fromkeys(loaders)), finding.kind].append(finding)
        lines = []
        for (loader_names, kind), found in groups.items():
            lines.append(f'  {loader_names}: {kind} ({KINDS[kind]}): {len(found)}')
            lines += [f'    {finding}' for finding in found[:EXAMPLES]]
            if len(found) > EXAMPLES:
                lines.append(f'    ... and {len(found) - EXAMPLES} more')
        return '\n'.join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `check_data.py --json`."""
        datasets = [entry for dataset in self.datasets for entry in dataset.to_dicts()]
        return {'ok': not self.errors, 'datasets': datasets}

    def __str__(self) -> str:
        blocks = [str(dataset) for dataset in self.datasets if dataset.source]
        for title, severity in (('errors', 'error'), ('warnings', 'warning')):
            if told := self.describe(severity):
                blocks.append(f'{title}\n{told}')
        verdict = 'the data is sound' if not self.errors else 'the data cannot be used as it is'
        blocks.append(f'{verdict}: {len(self.errors)} errors, {len(self.warnings)} warnings')
        return '\n\n'.join(blocks)


def _of(used: int, total: int, unit: str) -> str:
    return f'{total} {unit}' if used == total else f'{used} of {total} {unit} used'
