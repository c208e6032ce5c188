"""Scores under corruptions on the page."""

import numpy as np
import pytest

from fastvit_dense.evaluation.report.corruptions import robustness_rows
from fastvit_dense.evaluation.robustness import summarize
from tests.evaluation.samples import hand_result, semantic_result, write_task_report


def robust(result, name, values):
    scored = {'fog': [{name: v} for v in values], 'snow': [{name: 2 * v} for v in values]}
    result.robustness = {
        'library': 'some 1.0',
        **summarize({name: result.metrics[name]}, scored, range(1, 6)),
    }
    result.arrays['corrupted'] = np.zeros((3, 20, 30, 3), np.uint8)
    return result


def test_means_curves_and_examples(tmp_path):
    result = robust(semantic_result(), 'mIoU', [20.0, 16.0, 12.0, 8.0, 4.0])
    result.metrics['mIoU'] = 40.0
    robust(result, 'mIoU', [20.0, 16.0, 12.0, 8.0, 4.0])
    report = write_task_report(result, tmp_path)
    assert report['robustness']['mPC'] == {'mIoU': pytest.approx(18.0)}
    assert robustness_rows(report) == [('mean IoU', '40.00 %', '18.00 %', '45.0 %')]
    report['uncertainty'] = {'mIoU': {'low': 38.0, 'high': 41.5}}
    assert robustness_rows(report)[0][1] == '40.00 % [38.00, 41.50]'
    page = (tmp_path / 'report.html').read_text(encoding='utf-8')
    section = page[page.index('Under corruptions') : page.index('Gallery')]
    assert '2 corruptions at 5 strengths each, by some 1.0' in section
    assert section.count('<svg') == 1, 'one family'
    assert section.count('<img') == 3
    text = (tmp_path / 'report.md').read_text(encoding='utf-8')
    (line,) = [line for line in text.splitlines() if line.startswith('| snow')]
    assert line.split('|')[2].strip() == '24.00'


def test_of_an_error_more_is_worse(tmp_path):
    result = robust(hand_result(), 'PA-MPJPE', [7.0, 8.0, 9.0, 10.0, 11.0])
    write_task_report(result, tmp_path)
    for name in ('report.html', 'report.md'):
        text = (tmp_path / name).read_text(encoding='utf-8')
        assert 'more than 100 % of an error is worse' in text
        assert '204.2 %' in text  # 13.5 of 6.612
