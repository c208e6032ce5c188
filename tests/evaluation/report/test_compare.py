import json
import re

import numpy as np
import pytest

from fastvit_dense.errors import DataError
from fastvit_dense.evaluation.record import EvaluationResult
from fastvit_dense.evaluation.report.compare import change_from, compare_reports, read_report
from fastvit_dense.evaluation.statistics import Means
from fastvit_dense.evaluation.statistics_file import pack
from tests.evaluation.samples import semantic_result, write_task_report
from tests.facts import raises_naming


def write(folder, **changes):
    report = {
        'task': 'semantic',
        'dataset': 'ADE20K',
        'split': 'validation',
        'samples': 2000,
        'metrics': {'mIoU': 38.0, 'aAcc': 80.0},
        'protocol': {'image_size': [512, 2048]},
    }
    folder.mkdir()
    path = folder / 'report.json'
    path.write_text(json.dumps(report | changes), encoding='utf-8')
    return path


def test_values_and_differences_to_the_first(tmp_path, capsys):
    first = write(tmp_path / 'sa12')
    second = write(tmp_path / 'sa24', metrics={'mIoU': 41.25, 'mDice': 55.0})
    third = write(tmp_path / 'worse', metrics={'mIoU': 37.5, 'aAcc': None})
    table = compare_reports([first, second.parent, third], tmp_path / 'out')
    assert table['runs'] == ['sa12', 'sa24', 'worse']
    assert table['warnings'] == []
    rows = {row['metric']: row for row in table['rows']}
    assert rows['mIoU']['values'] == [38.0, 41.25, 37.5]
    assert rows['mIoU']['differences'] == [0.0, 3.25, -0.5]
    assert rows['aAcc']['values'] == [80.0, None, None]
    assert rows['aAcc']['differences'] == [0.0, None, None]
    assert rows['mDice']['values'] == [None, 55.0, None]
    assert rows['mDice']['differences'] == [None, None, None]
    assert json.loads((tmp_path / 'out/compare.json').read_text(encoding='utf-8')) == table
    text = (tmp_path / 'out/compare.md').read_text(encoding='utf-8')
    assert text in capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.startswith('| mIoU')]
    cells = [cell.strip() for cell in line.strip('|').split('|')]
    assert cells == ['mIoU (%)', '38.00', '41.25 (+3.25)', '37.50 (−0.50)']


def test_a_report_of_the_version_before_compares(tmp_path):
    """It has no rule in words, no robustness, no curves of the training."""
    before = write(tmp_path / 'before')
    protocol = {'image_size': [512, 2048], 'rule': 'pixels of label 255 ignored'}
    robustness = {'mPC': {'mIoU': 20.0}}
    now = write(tmp_path / 'now', protocol=protocol, robustness=robustness)
    assert compare_reports([before, now])['warnings'] == []
    assert compare_reports([now, before])['warnings'] == []


def test_a_score_that_coco_leaves_undefined_has_no_difference(tmp_path):
    first = write(tmp_path / 'a', task='instance', metrics={'bbox_mAP_s': -1.0})
    second = write(tmp_path / 'b', task='instance', metrics={'bbox_mAP_s': 0.25})
    (row,) = compare_reports([first, second])['rows']
    assert row == {'metric': 'bbox_mAP_s', 'values': [-1.0, 0.25], 'differences': [None, None]}


def statistics(values):
    names = np.array([f'{k}.jpg' for k in range(len(values))])
    return Means(names, np.array(['PA-MPJPE']), np.array(values)[:, None])


def with_statistics(folder, values):
    path = write(folder, task='hand', metrics={'PA-MPJPE': float(np.mean(values))})
    (folder / 'per_image.npz').write_bytes(pack(statistics(values)))
    return path


def test_differences_are_shown_or_not_by_a_bootstrap_in_pairs(tmp_path, capsys):
    random = np.random.default_rng(0)
    values = random.normal(7, 2, 200)
    first = with_statistics(tmp_path / 'a', values)
    second = with_statistics(tmp_path / 'b', values - 0.1)
    third = with_statistics(tmp_path / 'c', values + random.normal(0, 1, 200))
    other = with_statistics(tmp_path / 'd', values[:-1])
    table = compare_reports([first, second, third, other], tmp_path / 'out')
    assert table['warnings'] == ['images: other ones in d than in a, hence no intervals']
    (row,) = table['rows']
    assert row['shown'] == [None, True, False, None]
    assert row['intervals'][1]['low'] == pytest.approx(-0.1)
    assert row['intervals'][2]['low'] < 0 < row['intervals'][2]['high']
    printed = capsys.readouterr().out
    assert '(−0.10 [−0.10, −0.10] shown)' in printed
    assert re.search(r'\([+−]0\.\d\d \[−0\.\d\d, 0\.\d\d\] not shown\)', printed)


def test_values_have_their_own_intervals(tmp_path, capsys):
    first = write(tmp_path / 'a', uncertainty={'mIoU': {'low': 36.5, 'high': 39.25}})
    broken = {'mIoU': {'low': None}, 'aAcc': 7}
    table = compare_reports([first, write(tmp_path / 'b', uncertainty=broken)])
    rows = {row['metric']: row for row in table['rows']}
    assert rows['mIoU']['uncertainty'] == [{'low': 36.5, 'high': 39.25}, None]
    assert 'uncertainty' not in rows['aAcc']
    assert '38.00 [36.50, 39.25] |' in capsys.readouterr().out


def test_a_file_of_another_evaluation_gives_no_interval(tmp_path):
    first = with_statistics(tmp_path / 'a', [1.0, 2.0])
    second = with_statistics(tmp_path / 'b', [1.0, 3.0])
    (tmp_path / 'b' / 'per_image.npz').write_bytes(pack(statistics([5.0, 6.0])))
    (row,) = compare_reports([first, second])['rows']
    assert 'intervals' not in row


def test_different_tasks_are_refused(tmp_path):
    paths = [write(tmp_path / 'a'), write(tmp_path / 'b', task='hand')]
    with raises_naming(DataError, 'task', 'found', paths[0], 'semantic', paths[1], 'hand'):
        compare_reports(paths, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('changes', 'warning'),
    [
        ({'dataset': 'ADE20K sample'}, 'dataset: ADE20K in a, ADE20K sample in b'),
        ({'split': 'test'}, 'split: validation in a, test in b'),
        ({'samples': 40}, 'samples: 2000 in a, 40 in b'),
        ({'protocol': {}}, 'protocol: image_size: [512, 2048] in a, not given in b'),
        (
            {'protocol': {'image_size': [512, 2048], 'fused': True}},
            'protocol: fused: not given in a, True in b',
        ),
    ],
)
def test_other_data_or_protocol_is_marked(tmp_path, capsys, changes, warning):
    table = compare_reports([write(tmp_path / 'a'), write(tmp_path / 'b', **changes)])
    assert table['warnings'] == [warning]
    assert f'Not like with like: {warning.partition(":")[0]}' in capsys.readouterr().out


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    (tmp_path / 'x').mkdir()
    (tmp_path / 'y').mkdir()
    paths = [write(tmp_path / 'x' / 'run'), write(tmp_path / 'y' / 'run')]
    assert compare_reports(paths)['runs'] == ['x/run', 'y/run']
    assert len(set(compare_reports([paths[0], paths[0]])['runs'])) == 2


def test_one_report_is_no_comparison(tmp_path):
    with raises_naming(DataError, 'at least two reports', 'found', 1):
        compare_reports([write(tmp_path / 'a')])


@pytest.mark.parametrize(
    ('text', 'facts'),
    [
        (None, ['no such file']),
        ('', ['whole JSON file']),
        ('{"task": "semantic", "metrics": {"mIoU": 3', ['whole JSON file']),
        ('[1, 2]', ['object', 'found', 'list']),
        ('{"task": "hand"}', ['dataset', 'str', 'found', 'nothing']),
        (
            '{"task": "hand", "dataset": "x", "split": "", "samples": "9"}',
            ['samples', 'int', 'found', 'str'],
        ),
        (
            '{"task": "hand", "dataset": "x", "split": "", "samples": 9, "protocol": {},'
            ' "metrics": {"PA-MPJPE": "6.6"}}',
            ['metrics', 'PA-MPJPE', 'number', 'found', "'6.6'"],
        ),
    ],
)
def test_a_broken_report_is_named(tmp_path, text, facts):
    path = tmp_path / 'report.json'
    if text is not None:
        path.write_text(text, encoding='utf-8')
    with raises_naming(DataError, path, *facts):
        read_report(path)


def test_a_hostile_name_stays_in_its_cell(tmp_path, capsys):
    compare_reports([write(tmp_path / 'a|b <script>'), write(tmp_path / 'c')])
    head = capsys.readouterr().out.splitlines()[2]
    assert head.count('|') - head.count('\\|') == 4
    assert '<script>' not in head


def test_change_from_an_earlier_report(tmp_path):
    earlier = read_report(write(tmp_path / 'fp32', protocol={'form': 'as trained'}))
    metrics = {'mIoU': 37.5, 'aAcc': float('nan'), 'mDice': 50.0}
    result = EvaluationResult('semantic', 'ADE20K', 'validation', 2000, metrics)
    assert change_from(earlier, result) == {
        'baseline': 'as trained',
        'change from baseline': {'mIoU': -0.5},
        'change without interval': (
            'the baseline has no per_image.npz of the same evaluation beside its report'
        ),
    }
    values = [30.0, 45.0]
    kept = Means(np.array(['a', 'b']), np.array(['mIoU']), np.array(values)[:, None])
    result.statistics = Means(kept.ids, kept.names, kept.values - 0.5)
    assert change_from(earlier, result, kept)['change with interval'] == {
        'mIoU': '−0.50 [−0.50, −0.50] shown'
    }
    other = Means(np.array(['a', 'c']), kept.names, kept.values)
    told = change_from(earlier, result, other)
    assert told['change without interval'] == 'the images are not the same, or fewer than two'
    result.samples = 10
    with raises_naming(DataError, 'baseline', 'samples', 10, 'found', 2000):
        change_from(earlier, result)


def test_pages_tell_the_change_once_beside_each_number(tmp_path):
    result = semantic_result()
    result.protocol |= {
        'baseline': 'as trained',
        'change from baseline': {'mIoU': -0.5, 'mAcc': 0.25},
        'change with interval': {'mIoU': '−0.50 [−0.90, −0.10] shown'},
    }
    write_task_report(result, tmp_path)
    page, text = ((tmp_path / f'report.{ending}').read_text() for ending in ('html', 'md'))
    for words in ('−0.50 [−0.90, −0.10] shown', '+0.25'):
        assert page.count(f'<span class="faint">baseline</span> {words}</div>') == 1
        assert text.count(f'{words} |') == 1
    note = 'Change from the baseline (model as trained), with the interval of a bootstrap in pairs.'
    assert page.count(note) == text.count(note) == 1
    assert '−0.5,' not in page
