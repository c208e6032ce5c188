"""The three files of a report: whole or not at all, with every number."""

import json
import math

import numpy as np
import pytest
import torch

from fastvit_dense.checkpoints import files
from fastvit_dense.evaluation import EvaluationResult
from fastvit_dense.evaluation.bootstrap import uncertainty
from fastvit_dense.evaluation.report.summary import write_summary
from fastvit_dense.evaluation.report.writing import to_json
from fastvit_dense.evaluation.statistics import Means
from fastvit_dense.evaluation.statistics_file import read_statistics
from tests.evaluation.samples import (
    PRESENTATIONS,
    hand_result,
    instance_result,
    picture,
    published_rows,
    semantic_result,
    write_task_report,
)
from tests.facts import raises_naming

NAMES = ['report.html', 'report.json', 'report.md']


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def strict_json(path):
    def refuse(name):
        raise AssertionError(f'{name} is no JSON')

    return json.loads(path.read_text(encoding='utf-8'), parse_constant=refuse)


def test_json_has_the_schema_and_full_precision(tmp_path):
    result = instance_result()
    info = {'config': 'configs/a.py', 'checkpoint_sha256': '0' * 64, 'parameters': 7, 'macs': 8}
    references = published_rows('instance', 'COCO', 5000, 'sa24')
    returned = write_task_report(
        result,
        tmp_path / 'run',
        model_info=info,
        references=references,
        environment={'python': '3.11'},
        seconds={'inference': 12.5},
    )
    assert listed(tmp_path / 'run') == NAMES
    report = strict_json(tmp_path / 'run/report.json')
    assert report == returned
    assert list(report) == [
        'task', 'dataset', 'split', 'samples', 'metrics', 'per_class', 'curves', 'reference',
        'uncertainty', 'protocol', 'model', 'environment', 'seconds',
    ]  # fmt: skip
    assert report['task'] == 'instance'
    assert report['samples'] == 5000
    assert report['metrics'] == result.metrics
    assert report['metrics']['bbox_mAP'] == 0.4187654321
    assert report['per_class'] == result.per_class
    assert report['curves'] == result.curves
    assert report['reference'] == references
    assert report['protocol'] == result.protocol
    assert report['model'] == info
    assert report['environment'] == {'python': '3.11'}
    assert report['seconds'] == {'inference': 12.5}


def test_without_a_model_it_is_null_and_the_papers_rows_are_there(tmp_path):
    report = write_task_report(semantic_result(), tmp_path)
    assert report['model'] is None
    assert [row['metrics']['mIoU'] for row in report['reference']] == [38.0, 41.0, 42.9, 44.6]
    assert report['environment']['packages']['torch'] == torch.__version__.partition('+')[0]


def test_undefined_numbers_are_null_everywhere(tmp_path):
    result = EvaluationResult(
        'semantic',
        'x',
        '',
        1,
        {'mIoU': math.nan, 'mAcc': math.inf, 'aAcc': 50.0},
        [{'name': 'a', 'IoU': math.nan}],
        {'pr': {'recall': [0.0, -math.inf], 'b': np.array([math.nan, 1.0])}},
        protocol={'scale': np.float32(0.5), 'size': (np.int64(3), 4), 'lr': math.nan},
    )
    write_task_report(result, tmp_path)
    report = strict_json(tmp_path / 'report.json')
    assert report['metrics'] == {'mIoU': None, 'mAcc': None, 'aAcc': 50.0}
    assert report['per_class'] == [{'name': 'a', 'IoU': None}]
    assert report['curves'] == {'pr': {'recall': [0.0, None], 'b': [None, 1.0]}}
    assert report['protocol'] == {'scale': 0.5, 'size': [3, 4], 'lr': None}
    assert math.isnan(result.metrics['mIoU']), 'the result itself is left alone'


def test_to_json_names_what_has_no_json_form():
    assert to_json({1: {True}, 'b': None}) == {'1': [True], 'b': None}
    with raises_naming(TypeError, 'report', 'found', 'Tensor'):
        to_json({'loss': torch.zeros(1)})


def test_an_empty_result_still_makes_a_report(tmp_path):
    write_task_report(EvaluationResult('hand', '', '', 0, {}), tmp_path)
    assert strict_json(tmp_path / 'report.json')['metrics'] == {}


@pytest.mark.parametrize('fail_at', ['report.html', 'report.md', 'report.json'])
def test_an_interruption_leaves_the_former_report_whole(tmp_path, monkeypatch, fail_at):
    write_task_report(semantic_result(), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    write_text = files.Path.write_text

    def interrupted(path, text, **options):
        if fail_at in path.name:
            write_text(path, text[: len(text) // 2], **options)
            raise KeyboardInterrupt
        return write_text(path, text, **options)

    monkeypatch.setattr(files.Path, 'write_text', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_task_report(instance_result(), tmp_path)
    assert listed(tmp_path) == NAMES
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before


def test_a_report_that_cannot_be_made_leaves_no_file(tmp_path):
    result = semantic_result()
    result.protocol['model'] = object()
    with raises_naming(TypeError, 'report', 'found', 'object'):
        write_task_report(result, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_expected_values_stand_beside_the_measured(tmp_path):
    expected = [
        {'metric': 'bbox_mAP', 'value': 0.42, 'tolerance': 0.003, 'source': 'Table 10'},
        {'metric': 'segm_mAP', 'value': 0.38, 'tolerance': 0.0001},
    ]
    report = write_task_report(instance_result(), tmp_path, expected=expected)
    assert [check['passed'] for check in report['expected']] == [True, False]
    for name in ('report.md', 'report.html'):
        text = (tmp_path / name).read_text(encoding='utf-8')
        assert 'segm_mAP: expected 0.38 ± 0.0001, measured 0.379123 (−0.000877): missed' in text


def test_a_gallery_of_pictures_and_files(tmp_path):
    picture().save(tmp_path / 'a.png')
    entries = [('a.png', 0.9, tmp_path / 'a.png', 'Best'), ('b', None, picture(), 'Worst')]
    write_task_report(instance_result(), tmp_path / 'run', gallery=entries)
    text = (tmp_path / 'run/report.html').read_text(encoding='utf-8')
    assert text.count('<img src="data:image/jpeg;base64,') == 2
    assert 'Gallery left out' not in text
    assert text.index('The worst pictures') < text.index('<h3>Best</h3>')


def test_intervals_stand_beside_the_numbers_on_every_page(tmp_path):
    result = hand_result(samples=50)
    values = np.random.default_rng(0).normal(6.6, 1, 50)
    result.metrics['PA-MPJPE'] = float(values.mean())
    names = np.arange(50).astype(str)
    result.statistics = Means(names, np.array(['PA-MPJPE']), values[:, None])
    report = write_task_report(result, tmp_path / 'a')
    assert listed(tmp_path / 'a') == ['per_image.npz', *NAMES]
    assert list(report['uncertainty']) == ['PA-MPJPE']
    ends = report['uncertainty']['PA-MPJPE']
    assert ends['low'] < values.mean() < ends['high']
    assert (ends['level'], ends['resamples']) == (0.95, 1000)
    text = f'[{ends["low"]:.2f}, {ends["high"]:.2f}]'
    page = (tmp_path / 'a/report.html').read_text(encoding='utf-8')
    assert page.count(text) == 1  # no number twice
    assert (tmp_path / 'a/report.md').read_text(encoding='utf-8').count(text) == 1
    write_summary([tmp_path / 'a'], tmp_path, PRESENTATIONS)
    for name in ('summary.html', 'summary.md'):
        assert text in (tmp_path / name).read_text(encoding='utf-8')
    kept = read_statistics(tmp_path / 'a', report['metrics'])
    assert uncertainty(kept)['PA-MPJPE'].low == ends['low']
