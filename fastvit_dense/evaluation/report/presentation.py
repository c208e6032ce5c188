"""The words and the order in which a report shows the results of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Presentation:
    """Words and order of a report.

    Attributes:
        title: Name of the task.
        headlines: The few metrics that matter most, in order.
        alternatives: Those that lead where none of `headlines` was computed.
        columns: Metrics of the table of published results; the first sorts its rows.
        class_word: What `per_class` has one row of.
        sample_score: Format of a sample's score times `sample_sign`, unit included.
        sample_sign: -1 where a score is minus an error.
        titles: Of reports that hold a metric of another task, by the metric.
    """

    title: str
    headlines: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    class_word: str = 'class'
    sample_score: str = 'score {:.3f}'
    sample_sign: int = 1
    titles: Mapping[str, str] = field(default_factory=dict)

    def leading(self, metrics: Mapping[str, Any]) -> list[str]:
        """Return the headlines that there are, or alternatives, or the first four metrics."""
        for names in (self.headlines, self.alternatives):
            if found := [name for name in names if name in metrics]:
                return found
        return list(metrics)[:4]

    def shown(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of a report.json as the pages take it: with this presentation."""
        metrics = report.get('metrics') or {}
        titles = (title for metric, title in self.titles.items() if metric in metrics)
        presentation = replace(self, title=next(titles, self.title))
        return {**report, 'presentation': presentation}

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> 'Presentation':
        """Return the presentation of a shown report; a plain one where it has none."""
        return report.get('presentation') or cls(title=report['task'])
