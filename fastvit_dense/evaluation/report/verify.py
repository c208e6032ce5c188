"""Regression guard: the values that a config expects, against those that were measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...datasets.values import is_number
from ...errors import ConfigError
from ..metric_names import format_difference, format_value

_FIELDS = ('metric', 'value', 'tolerance')


def check_results(
    metrics: Mapping[str, float], expected: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Compare measured metrics with a config's `expected_results`, one by one.

    Args:
        metrics: Measured values by name.
        expected: Dicts with `metric`, `value`, `tolerance` (both in the metric's own unit,
            the bounds included, on either side) and, optionally, `source`.

    Returns:
        One dict per expected value: `metric`, `expected`, `tolerance`, `source`,
        `measured` (None if the metric is missing), `passed` and `message`, a readable line.

    Raises:
        ConfigError: The list is empty (nothing would be verified) or an entry is incomplete.
    """
    if isinstance(expected, str | Mapping):
        raise ConfigError(f'expected_results: expected a list of dicts, found {expected!r}')
    if not expected:
        raise ConfigError(
            'expected_results: nothing to verify; expected at least one '
            "dict(metric='bbox_mAP', value=0.420, tolerance=0.003, source='...') in the config"
        )
    return [_check(metrics, entry, index) for index, entry in enumerate(expected)]


def verify_results(
    metrics: Mapping[str, float], expected: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Readable lines for the expected values that were missed; empty if all were met.

    A metric that was not measured, and one that is NaN or infinite, is a miss. Arguments and
    errors are those of `check_results`.
    """
    return [check['message'] for check in check_results(metrics, expected) if not check['passed']]


def _check(metrics: Mapping[str, float], entry: Mapping[str, Any], index: int) -> dict[str, Any]:
    name, value, tolerance = _read_entry(entry, index)
    source = str(entry.get('source', ''))
    check = {'metric': name, 'expected': value, 'tolerance': tolerance, 'source': source}
    wanted = f'expected {value:g} ± {tolerance:g}' + (f' ({source})' if source else '')
    if name not in metrics:
        known = ', '.join(sorted(metrics)) or 'no metric'
        message = f'{name}: {wanted}, but it was not measured; measured: {known}'
        return check | {'measured': None, 'passed': False, 'message': message}
    measured = metrics[name]
    if not is_number(measured):
        message = f'{name}: {wanted}, measured {measured}'
        return check | {'measured': measured, 'passed': False, 'message': message}
    difference = measured - value
    # A value on the bound counts as met although 0.423 - 0.42 > 0.003 in binary floating point.
    passed = abs(difference) <= tolerance + 1e-9 * max(1.0, abs(value))
    found = f'measured {format_value(name, measured, digits=6)}'
    verdict = 'met' if passed else 'missed'
    message = f'{name}: {wanted}, {found} ({format_difference(name, difference, 6)}): {verdict}'
    return check | {'measured': measured, 'passed': passed, 'message': message}


def _read_entry(entry: Mapping[str, Any], index: int) -> tuple[str, float, float]:
    where = f'expected_results[{index}]'
    if not isinstance(entry, Mapping):
        raise ConfigError(f'{where}: expected a dict with {", ".join(_FIELDS)}, found {entry!r}')
    for field in _FIELDS:
        if field not in entry:
            raise ConfigError(f'{where}: expected the field {field!r}, found {sorted(entry)}')
    name, value, tolerance = (entry[field] for field in _FIELDS)
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}['metric']: expected a metric's name, found {name!r}")
    if not is_number(value):
        raise ConfigError(f"{where}['value']: expected a finite number, found {value!r}")
    if not is_number(tolerance) or tolerance < 0:
        raise ConfigError(
            f"{where}['tolerance']: expected a number of 0 or more, found {tolerance!r}"
        )
    return name, value, tolerance
