import math

import numpy as np
import pytest

from fastvit_dense.errors import ConfigError
from fastvit_dense.evaluation.report.verify import check_results, verify_results
from tests.facts import raises_naming


def expected(value=0.42, tolerance=0.003, metric='bbox_mAP', **more):
    return [dict(metric=metric, value=value, tolerance=tolerance, **more)]


@pytest.mark.parametrize('measured', [0.42, 0.417, 0.423, 0.4171, np.float64(0.42)])
def test_within_tolerance(measured):
    assert verify_results({'bbox_mAP': measured}, expected()) == []


@pytest.mark.parametrize('measured', [0.4169, 0.42301, 0.0, -1.0, 42.0])
def test_outside_tolerance_on_either_side(measured):
    (miss,) = verify_results({'bbox_mAP': measured}, expected(source='paper, Table 10'))
    assert miss.startswith('bbox_mAP: expected 0.42 ± 0.003 (paper, Table 10), measured ')
    assert miss.endswith('missed')


def test_the_bound_is_met_in_spite_of_binary_fractions():
    assert abs(0.423 - 0.420) > 0.003  # why it needs care
    assert verify_results({'bbox_mAP': 0.423}, expected()) == []
    assert verify_results({'bbox_mAP': 0.42}, expected(tolerance=0)) == []
    assert len(verify_results({'bbox_mAP': 0.42 + 1e-6}, expected(tolerance=0))) == 1


@pytest.mark.parametrize('measured', [math.nan, math.inf, -math.inf, None])
def test_undefined_is_a_miss_however_wide_the_tolerance(measured):
    (miss,) = verify_results({'bbox_mAP': measured}, expected(tolerance=1e9))
    assert 'expected 0.42' in miss
    assert str(measured) in miss


def test_unknown_metric_is_a_miss_that_names_the_known():
    (miss,) = verify_results({'mIoU': 38.0}, expected())
    assert miss == 'bbox_mAP: expected 0.42 ± 0.003, but it was not measured; measured: mIoU'


def test_only_what_missed_is_listed():
    wanted = expected() + expected(38.0, 0.5, 'mIoU') + expected(6.6, 0.1, 'PA-MPJPE')
    metrics = {'bbox_mAP': 0.42, 'mIoU': 37.0, 'PA-MPJPE': 6.65}
    (miss,) = verify_results(metrics, wanted)
    assert 'measured 37.000000 (−1.000000)' in miss
    assert [check['passed'] for check in check_results(metrics, wanted)] == [True, False, True]


@pytest.mark.parametrize('nothing', [[], ()])
def test_an_empty_list_verifies_nothing_and_is_an_error(nothing):
    with raises_naming(ConfigError, 'expected_results', 'nothing', "dict(metric='bbox_mAP'"):
        verify_results({'bbox_mAP': 0.42}, nothing)


@pytest.mark.parametrize(
    ('entry', 'facts'),
    [
        ({'value': 1, 'tolerance': 1}, ['metric', 'found', ['tolerance', 'value']]),
        ({'metric': 'mIoU', 'tolerance': 1}, ['value', 'found', ['metric', 'tolerance']]),
        ({'metric': 'mIoU', 'value': 1}, ['tolerance', 'found', ['metric', 'value']]),
        ({'metric': 'mIoU', 'value': '38', 'tolerance': 1}, ['value', 'found', "'38'"]),
        ({'metric': 'mIoU', 'value': math.nan, 'tolerance': 1}, ['value', 'found', 'nan']),
        ({'metric': 'mIoU', 'value': 38, 'tolerance': -1}, ['tolerance', 'found', -1]),
        ({'metric': 'mIoU', 'value': 38, 'tolerance': math.inf}, ['tolerance', 'found', 'inf']),
        ({'metric': 'mIoU', 'value': True, 'tolerance': 1}, ['value', 'found', True]),
        ({'metric': '', 'value': 38, 'tolerance': 1}, ['metric', 'found', "''"]),
        ('mIoU', ['dict', 'metric', 'value', 'tolerance', 'found', "'mIoU'"]),
    ],
)
def test_a_wrong_entry_is_named(entry, facts):
    with raises_naming(ConfigError, 'expected_results[0]', *facts):
        verify_results({'mIoU': 38.0}, [entry])
