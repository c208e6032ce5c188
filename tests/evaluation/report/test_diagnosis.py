"""Kinds of errors, calibration and doubts on the pages of a report, and beside a baseline."""

import json

import pytest
from PIL import Image

from fastvit_dense.evaluation.diagnosis import Breakdown, Diagnosis, Doubt, Part
from fastvit_dense.evaluation.report.compare import add_baseline, compare_reports, read_report
from fastvit_dense.evaluation.report.pictures import DOUBTS, make_gallery, save_gallery
from fastvit_dense.evaluation.report.summary import write_summary
from fastvit_dense.visualization.layout import close_up, side_by_side
from tests.evaluation.samples import PRESENTATIONS, instance_result, write_task_report


def diagnosis(expected_error=0.0432, threshold=0.65):
    parts = [
        Part('missed', 0.21, 1200, 'found by nothing'),
        Part('wrong <class>', 0.034, 77, 'of another class'),
    ]
    doubt = Doubt(
        3, 'street.jpg', 'the truth says cat, the prediction dog, 0.97', 0.97, (5, 6, 9, 8)
    )
    calibration = {
        'bbox': {
            'expected_error': expected_error,
            'highest_error': 0.2,
            'bins': [
                {'confidence': 0.15, 'precision': 0.1, 'count': 10},
                {'confidence': 0.85, 'precision': 0.8, 'count': 20},
            ],
            'thresholds': [
                {'name': 'cat', 'threshold': threshold, 'f1': 0.7},
                {'name': 'dog', 'threshold': None, 'f1': None},
            ],
        }
    }
    lost = Breakdown('What box AP loses', 'AP50', 'After TIDE.', parts)
    return Diagnosis([lost], calibration, [doubt]).to_dict()


def written(folder, **values):
    result = instance_result()
    result.diagnosis = diagnosis(**values)
    write_task_report(result, folder)
    return result


def test_what_classes_lose_at_their_boundaries_has_a_picture(tmp_path):
    result = instance_result()
    write_task_report(result, tmp_path / 'without')
    assert 'lose at their boundaries' not in (tmp_path / 'without/report.html').read_text()
    for row in result.per_class[:2]:
        row['boundary_AP'] = row['segm_AP'] - {'cat': 0.0123, 'dog': 0.2345}[row['name']]
    write_task_report(result, tmp_path)
    page = (tmp_path / 'report.html').read_text()
    assert 'lose at their boundaries: masks' in page
    block = page[page.index('lose at their boundaries: masks') :]
    assert block.index('0.234') < block.index('0.012')  # the class that loses most first
    assert 'of 2 classes' in block


def test_a_report_shows_everything_that_was_found(tmp_path):
    written(tmp_path)
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['diagnosis'] == json.loads(json.dumps(diagnosis()))
    page = (tmp_path / 'report.html').read_text()
    for text in (
        'What box AP loses',
        '1,200',
        'Expected calibration error: box 0.0432.',
        'How far scores can be trusted',
        'wrong &lt;class&gt;',
        'the truth says cat, the prediction dog, 0.97',
        '0.650',
    ):
        assert text in page, text
    assert page.count('aria-label="What box AP loses"') == 1
    text = (tmp_path / 'report.md').read_text()
    assert '| missed' in text
    assert '| street.jpg' in text
    assert '0.0432' in text


def test_without_a_diagnosis_the_pages_say_nothing_of_it(tmp_path):
    write_task_report(instance_result(), tmp_path)
    page = (tmp_path / 'report.html').read_text()
    assert 'What kind of errors' not in page
    assert 'Likely label errors' not in page


def test_a_baseline_stands_beside(tmp_path):
    written(tmp_path / 'fp32')
    result = instance_result()
    result.diagnosis = diagnosis(expected_error=0.06, threshold=0.5)
    add_baseline(result, read_report(tmp_path / 'fp32'))
    write_task_report(result, tmp_path / 'int8')
    page = (tmp_path / 'int8/report.html').read_text()
    assert 'box 0.0600 (baseline 0.0432)' in page
    assert '<th class="value-cell">box, baseline threshold</th>' in page
    assert '>0.500<' in page
    assert '>0.650<' in page


def test_a_summary_shows_what_boundaries_cost(tmp_path):
    result = instance_result()
    result.metrics['boundary_mAP'] = 0.3141
    for row in result.per_class[:2]:
        row['boundary_AP'] = row['segm_AP'] - 0.1
    write_task_report(result, tmp_path / 'a')
    page = write_summary([tmp_path / 'a'], tmp_path / 'out', PRESENTATIONS).read_text()
    assert page.count('aria-label="What classes lose at their boundaries: masks, a, ') == 1
    assert 'Boundary AP 0.3141. By how much the score of a class' in page


def test_a_summary_shows_how_far_scores_can_be_trusted(tmp_path):
    for name in 'ab':
        written(tmp_path / name)
    path = write_summary([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out', PRESENTATIONS)
    page = path.read_text()
    assert page.count('Expected calibration error: box 0.0432.') == 2
    for name in 'ab':
        assert page.count(f'aria-label="Reliability: precision over confidence, {name}, ') == 1


def test_reports_are_compared_by_calibration_and_thresholds(tmp_path, capsys):
    written(tmp_path / 'fp32')
    written(tmp_path / 'int8', expected_error=0.06, threshold=0.5)
    table = compare_reports([tmp_path / 'fp32', tmp_path / 'int8'])
    (row,) = [row for row in table['rows'] if row['metric'] == 'bbox_ECE']
    assert row['values'] == [0.0432, 0.06]
    assert table['thresholds'] == [{'kind': 'bbox', 'class': 'cat', 'thresholds': [0.65, 0.5]}]
    assert '| cat, box' in capsys.readouterr().out


def test_reports_of_an_earlier_version_have_no_calibration(tmp_path):
    written(tmp_path / 'now')
    path = tmp_path / 'now/report.json'
    before = json.loads(path.read_text())
    del before['diagnosis']
    (tmp_path / 'before').mkdir()
    (tmp_path / 'before/report.json').write_text(json.dumps(before))
    table = compare_reports([tmp_path / 'before', tmp_path / 'now'])
    assert table['thresholds'] == []
    result = instance_result()
    result.diagnosis = diagnosis()
    add_baseline(result, before)
    assert result.diagnosis == diagnosis()


@pytest.mark.parametrize(
    'changes',
    [
        {'expected_error': None},
        {'bins': []},
        {'bins': [1]},
        {'bins': [{'confidence': 0.1}]},
        {'thresholds': None},
        {'thresholds': [{'name': ['cat'], 'threshold': 0.5, 'f1': 1}]},
        {'thresholds': [{'name': 'cat', 'threshold': 'high', 'f1': 1}]},
    ],
)
def test_a_calibration_that_cannot_be_shown_is_left_out(changes):
    before = {'diagnosis': {'calibration': {'bbox': diagnosis()['calibration']['bbox'] | changes}}}
    result = instance_result()
    result.diagnosis = diagnosis()
    add_baseline(result, before)
    assert result.diagnosis == diagnosis()


def test_doubts_are_cut_out_of_their_pictures(tmp_path):
    from mmengine.config import Config

    result = instance_result()
    result.diagnosis = diagnosis()
    cfg = Config({'test_dataloader': {'dataset': {'type': 'CocoDataset'}}})

    def draw(cfg, dataset, ids, predictions):
        for number in ids:
            panels = {c: Image.new('RGB', (200, 100), 'red') for c in ('prediction', 'truth')}
            yield f'{number}.jpg', side_by_side(panels)

    entries, _ = make_gallery(cfg, result, tmp_path, draw)
    assert [entry.group for entry in entries[-2:]] == ['Worst', DOUBTS]
    assert entries[-1].title == '3.jpg'
    assert entries[-1].note.startswith('the truth says cat')
    save_gallery(entries, tmp_path)
    assert len(list(tmp_path.glob('*_likely_3.png'))) == 1
    save_gallery(entries[:1], tmp_path)
    assert not list(tmp_path.glob('*_likely_*.png'))


def test_a_close_up_marks_the_box_in_every_panel():
    panels = {}
    for caption, color in (('prediction', (255, 0, 0)), ('truth', (0, 0, 255))):
        panels[caption] = Image.new('RGB', (300, 200), (40, 40, 40))
        panels[caption].paste(color, (100, 80, 140, 110))
    picture = close_up(side_by_side(panels), (100, 80, 40, 30))
    assert list(picture.info['panels']) == ['prediction', 'truth']
    for (caption, panel), color in zip(
        picture.info['panels'].items(), ((255, 0, 0), (0, 0, 255)), strict=True
    ):
        part = picture.crop(panel)
        assert part.height == 240, caption
        assert part.getpixel((part.width // 2, part.height // 2)) == color
        assert part.getpixel((2, 2)) == (40, 40, 40)
        assert (255, 255, 255) in {part.getpixel((x, part.height // 2)) for x in range(part.width)}
    whole = side_by_side(panels)
    assert close_up(whole, None) is whole
