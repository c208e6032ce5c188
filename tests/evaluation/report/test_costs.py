"""Costs worked out by hand."""

import pytest

from fastvit_dense.evaluation.diagnosis import Breakdown, Diagnosis, Part
from fastvit_dense.evaluation.report.costs import cost_groups, error_groups
from tests.evaluation.samples import PRESENTATIONS


def groups(task, rows):
    return cost_groups(PRESENTATIONS[task].shown({'task': task, 'per_class': rows}))


def test_a_class_costs_what_the_mean_would_gain():
    rows = [
        {'name': 'wall', 'IoU': 80.0},
        {'name': 'lamp', 'IoU': 20.0},
        {'name': 'rug', 'IoU': None},
        {'name': 'sky', 'IoU': 100.0},
    ]
    (group,) = groups('semantic', rows)
    assert [(row.name, row.text) for row in group.rows] == [
        ('lamp', '+26.67 %'),
        ('wall', '+6.67 %'),
    ]
    assert [row.bar for row in group.rows] == [100, pytest.approx(25)]
    assert 'mean IoU' in group.note


def test_masks_count_before_boxes_and_six_are_shown():
    rows = [{'name': str(i), 'bbox_AP': 0.5, 'segm_AP': i / 10} for i in range(10)]
    (group,) = groups('instance', rows)
    assert [row.name for row in group.rows] == list('012345')
    assert group.rows[0].text == '+0.1000'


def test_an_error_has_shares():
    rows = [{'name': 'wrist', 'PA-MPJPE': 2.0}, {'name': 'tip', 'PA-MPJPE': 6.0}]
    (group,) = groups('hand', rows)
    assert [(row.name, row.text) for row in group.rows] == [('tip', '75.0 %'), ('wrist', '25.0 %')]
    assert 'each joint would have 50.0 %' in group.note


@pytest.mark.parametrize('rows', [[], [{'name': 'one', 'IoU': 3.0}], [{'name': 'a', 'depth': 1}]])
def test_nothing_to_compare_costs_nothing(rows):
    assert groups('semantic', rows) == []


def test_kinds_of_errors_are_a_group_for_each_number():
    parts = [Part('missed', 0.05, 7), Part('none', 0.0), Part('confused', 0.2)]
    diagnosis = Diagnosis([Breakdown('What mask AP loses', 'AP', 'as TIDE', parts)])
    (group,) = error_groups({'diagnosis': diagnosis.to_dict()})
    assert (group.title, group.note) == ('What mask AP loses, AP', 'as TIDE')
    assert [tuple(row) for row in group.rows] == [
        ('confused', '0.2000', 100),
        ('missed', '0.0500', pytest.approx(25)),
    ]
    assert error_groups({}) == []
