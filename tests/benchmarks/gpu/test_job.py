"""Parts with a process and a limit each; what they found is kept however they end."""

import json
import time

import pytest
import torch

from benchmarks.gpu import job as jobs
from benchmarks.gpu.job import PARTS, Job, Part, run_parts
from benchmarks.machine import BenchmarkError


def test_rows_are_written_as_they_come(tmp_path, capsys):
    job = Job(tmp_path / 'rows.json', 60)
    for number in range(3):
        job.add({'name': 'row', 'number': number})
        assert len(json.loads(job.path.read_text())['rows']) == number + 1
    assert [path.name for path in tmp_path.iterdir()] == ['rows.json']
    assert job.attempt('division', lambda a, b: a / b, 6, 3) == 2
    assert job.attempt('division', lambda a, b: a / b, 1, 0) is None
    assert job.found['rows'][-1] == {
        'name': 'division',
        'reason': 'ZeroDivisionError: division by zero',
    }
    assert 'number 2' in capsys.readouterr().out


def test_parts_that_fail_or_have_no_end(tmp_path, monkeypatch):
    """The next one runs in the time that is left; where none is left it is left out."""
    parts = (
        Part('missing', 'tests.benchmarks.gpu.missing', 8.0),
        Part('endless', 'tests.benchmarks.gpu.endless', 1.0),
        Part('late', 'tests.benchmarks.gpu.missing', 1.0),
    )
    monkeypatch.setattr(jobs, 'PARTS', parts)
    monkeypatch.setattr(jobs, 'GRACE', 4.0)  # for the start of a process, on a busy machine
    start = time.monotonic()
    found = run_parts(0.05, tmp_path, device='cpu')['parts']
    assert time.monotonic() - start < 60
    assert found['missing']['ended'].startswith('failed after ')
    assert found['missing']['rows'] == []
    assert found['endless']['rows'] == [{'name': 'first', 'value': 1.5}]
    assert found['endless']['ended'].startswith('stopped at its limit of ')
    assert found['late'] == {'ended': 'left out: no time', 'rows': []}
    assert json.loads((tmp_path / 'gpu.json').read_text())['parts'] == found


def test_bad_settings(tmp_path):
    with pytest.raises(BenchmarkError, match="'coffee', expected of backbones, training_step"):
        run_parts(1, tmp_path, ['coffee'])
    with pytest.raises(BenchmarkError, match='minutes is 0'):
        run_parts(0, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(BenchmarkError, match='no GPU'):
            run_parts(1, tmp_path)


@pytest.mark.slow
@pytest.mark.integration
def test_everything_runs_at_tiny_sizes(tmp_path, shared_dir):
    camvid = shared_dir / 'real/camvid'
    found = run_parts(60, tmp_path, device='cpu', quick=True, data=camvid)['parts']
    assert list(found) == [part.name for part in PARTS]
    for name, part in found.items():
        assert part['ended'].startswith('done'), name
        reasons = [row['reason'] for row in part['rows'] if row.get('reason')]
        assert all('GPU' in reason for reason in reasons), reasons
        figure = 'times_faster' if name == 'mends' else 'images_per_second'
        assert any(figure in row for row in part['rows']), name
