import re

from fastvit_dense.errors import DataError
from fastvit_dense.evaluation.report.summary import write_summary
from tests.evaluation.samples import (
    PRESENTATIONS,
    hand_result,
    instance_result,
    picture,
    semantic_result,
    write_task_report,
)
from tests.facts import raises_naming


def test_numbers_links_and_labels_of_every_report(tmp_path):
    gallery = [('a', 1.0, picture())]
    write_task_report(instance_result(), tmp_path / 'runs/a b', gallery=gallery)
    write_task_report(semantic_result(dataset='ADE20K sample', samples=40), tmp_path / 'runs/s#1')
    path = write_summary(
        [tmp_path / 'runs/a b', tmp_path / 'runs/s#1'], tmp_path / 'out', PRESENTATIONS
    )
    assert path == tmp_path / 'out/summary.html'
    page = path.read_text(encoding='utf-8')
    for text in (page, (tmp_path / 'out/summary.md').read_text(encoding='utf-8')):
        assert '../runs/a%20b/report.html' in text
        assert '../runs/s%231/report.html' in text
        assert 'COCO val2017, 5,000 images' in text
        assert 'ADE20K sample validation, 40 images' in text
        assert text.count('Sample data') == 1
    assert page.count('<img ') == 1
    assert page.count('What costs most') == 2
    assert '0.419' in page
    assert '0.4188' in (tmp_path / 'out/summary.md').read_text(encoding='utf-8')


def test_pictures_curves_and_protocol_of_each_run(tmp_path):
    gallery = [(f'{i}', 1.0, picture(), g) for i, g in enumerate(('Best', 'Median', 'Worst'))]
    for name in ('a', 'b'):
        result = semantic_result()
        result.protocol |= {'rule': 'label 255 ignored', 'images_scored': '2000 of 2000'}
        result.curves['training_loss'] = {'step': [1, 2, 3], 'loss': [3.0, 2.0, 1.5]}
        write_task_report(result, tmp_path / name, gallery=gallery)
    write_summary([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out', PRESENTATIONS)
    page = (tmp_path / 'out/summary.html').read_text(encoding='utf-8')
    assert page.count('<figcaption>Median</figcaption>') == 2
    assert page.count('<figcaption>Worst</figcaption>') == 2
    assert 'Best</figcaption>' not in page
    assert page.count('Label 255 ignored; all images scored.') == 2
    assert page.count('aria-label="Training loss, ') == 2
    ids = re.findall(r' id="(.*?)"', page)
    assert len(ids) == len(set(ids)) > 20


def test_a_missing_or_broken_report_is_named_and_nothing_written(tmp_path):
    write_task_report(hand_result(), tmp_path / 'a')
    (tmp_path / 'b').mkdir()
    path = tmp_path / 'b/report.json'
    with raises_naming(DataError, path, 'no such file'):
        write_summary([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out', PRESENTATIONS)
    path.write_text('{"task": ', encoding='utf-8')
    with raises_naming(DataError, path, 'whole JSON file'):
        write_summary([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out', PRESENTATIONS)
    with raises_naming(DataError, 'at least one report'):
        write_summary([], tmp_path / 'out', PRESENTATIONS)
    assert not (tmp_path / 'out').exists()
