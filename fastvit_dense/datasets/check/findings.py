"""The findings of a check of a config's data, and their text."""

import textwrap
from collections import defaultdict
from dataclasses import dataclass, field

EXAMPLES = 3  # messages shown of each kind


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ('error') or may be ('warning').

    Attributes:
        severity: 'error' or 'warning'.
        kind: What similar findings have in common, such as 'box outside the image'.
        message: File, entry, expected, found.
    """

    severity: str
    kind: str
    message: str


@dataclass
class DataReport:
    """Everything that a check found.

    Attributes:
        findings: Finding -> the dataloaders ('train', 'val', 'test') that it concerns.
        counts: Dataloader -> what was counted ('images', 'annotations', ...).
        classes: Dataloader -> class -> annotations, or the share of pixels as text.
        sources: Dataloader -> type and files of its dataset.
    """

    findings: dict[Finding, list[str]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    classes: dict[str, dict[str, int | str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[str]:
        """Messages of the errors."""
        return [f.message for f in self.findings if f.severity == 'error']

    @property
    def warnings(self) -> list[str]:
        """Messages of the warnings."""
        return [f.message for f in self.findings if f.severity == 'warning']

    def add(self, split: str, severity: str, kind: str, message: str) -> None:
        """Note a finding; the same one in several dataloaders is told once."""
        splits = self.findings.setdefault(Finding(severity, kind, message), [])
        if split not in splits:
            splits.append(split)

    def error(self, split: str, kind: str, message: str) -> None:
        """Note an error."""
        self.add(split, 'error', kind, message)

    def warning(self, split: str, kind: str, message: str) -> None:
        """Note a warning."""
        self.add(split, 'warning', kind, message)

    def describe(self, severity: str) -> str:
        """List the findings of a severity by kind, the first few of each."""
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for finding, loaders in self.findings.items():
            if finding.severity == severity:
                groups[finding.kind, ', '.join(loaders)].append(finding.message)
        lines = []
        for (kind, splits), messages in groups.items():
            lines.append(f'  {splits}: {kind}: {len(messages)}')
            lines += [f'    {message}' for message in messages[:EXAMPLES]]
            if len(messages) > EXAMPLES:
                lines.append(f'    ... and {len(messages) - EXAMPLES} more')
        return '\n'.join(lines)

    def __str__(self) -> str:
        blocks = []
        for split, source in self.sources.items():
            counts = self.counts.get(split, {})
            lines = [f'{split}: {source}', '  ' + ', '.join(f'{v} {k}' for k, v in counts.items())]
            table = ' | '.join(f'{k} {v}' for k, v in self.classes.get(split, {}).items())
            lines += textwrap.wrap(table, 96, initial_indent='  ', subsequent_indent='  ')
            blocks.append('\n'.join(line for line in lines if line.strip()))
        for title, severity in (('errors', 'error'), ('warnings', 'warning')):
            if told := self.describe(severity):
                blocks.append(f'{title}\n{told}')
        verdict = 'the data is sound' if not self.errors else 'the data cannot be used as it is'
        blocks.append(f'{verdict}: {len(self.errors)} errors, {len(self.warnings)} warnings')
        return '\n\n'.join(blocks)
