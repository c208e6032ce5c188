"""The pages, as text and in headless Chromium with its network off."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fastvit_dense.evaluation.report import html
from fastvit_dense.evaluation.report.pictures import GalleryEntry
from fastvit_dense.evaluation.report.presentation import Presentation
from fastvit_dense.evaluation.report.summary import write_summary
from tests.evaluation.browser import Browser, find_chromium
from tests.evaluation.samples import (
    PRESENTATIONS,
    hand_result,
    instance_result,
    picture,
    published_rows,
    semantic_result,
    write_task_report,
)

HOSTILE = (
    '<script>document.title="broken"</script>',
    '"><img src=x onerror="document.title=1">',
    '$\\frac{1}{$ {{ 7 * 7 }} {% raw %}',
    'one_very_long_name_without_any_place_to_break_' * 6,
    'čeština 日本語 🐈 \u202e txet',
    "' onmouseover='alert(1)",
    '</style></svg><h1>out',
    '',
)


def entries():
    groups = ['Best', 'Best', 'Median', 'Worst']
    pictures = [picture(800, 300), picture(1600, 300), picture(200, 700), picture(8, 8)]
    return [
        GalleryEntry(f'{index}.jpg', 1 - index / 5, image, group)
        for index, (image, group) in enumerate(zip(pictures, groups, strict=True))
    ]


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    """Folders of one report per task, of hostile names, and of a summary over all."""
    root = tmp_path_factory.mktemp('pages')
    classes = [f'class {index}' for index in range(150)]
    results = {
        'instance': (instance_result(classes[:80]), 'sa24', entries()),
        'semantic': (semantic_result(classes), 'sa12', entries()),
        'hand': (hand_result('FreiHAND sample', 100, stand_in=True), 'ma36', ()),
        'hostile': (semantic_result(HOSTILE, dataset='<b>x</b>' * 30), 't8', entries()),
        'mean': (instance_result(HOSTILE), None, ()),
    }
    of_training = {'step': [1, 2, 3], 'loss': [3.0, 2.0, 1.5]}
    results['hand'][0].curves['training_loss'] = of_training
    results['hostile'][0].protocol['<i>' + 'k' * 300] = '<script>v</script>' + 'v' * 300
    for name, (result, arch, gallery) in results.items():
        info = {'config': f'configs/{name}.py', 'checkpoint_sha256': 'a' * 64, 'parameters': 10**7}
        write_task_report(
            result,
            root / name,
            model_info=info | {'macs': 10**10},
            gallery=gallery,
            references=published_rows(result.task, result.dataset, result.samples, arch),
            seconds={'inference': 10.0},
        )
    write_summary([root / name for name in results], root / 'summary', PRESENTATIONS)
    return root


def page(pages, name):
    file = 'summary.html' if name == 'summary' else 'report.html'
    return pages / name / file


class Tags(HTMLParser):
    """Tags with their attributes, and the text outside style sheets."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside != 'style':
            self.text.append(data)


@pytest.mark.parametrize('name', ['instance', 'semantic', 'hand', 'hostile', 'mean', 'summary'])
def test_nothing_is_loaded_or_run(pages, name):
    tags = Tags(page(pages, name).read_text(encoding='utf-8')).tags
    kinds = {tag for tag, _ in tags}
    assert not kinds & {'script', 'iframe', 'object', 'embed', 'form', 'base', 'audio', 'video'}
    for tag, attributes in tags:
        assert not [key for key in attributes if key.startswith('on')], tag
        if tag == 'a':
            assert re.fullmatch(r'\.\./\w+/report\.html', attributes['href'])
            continue
        for key in ('src', 'href', 'xlink:href', 'srcset', 'data'):
            assert attributes.get(key, '#').startswith(('data:', '#')), (tag, key)


def test_ids_are_unique_in_a_page(pages):
    ids = [attributes['id'] for _, attributes in tags_of(pages, 'instance') if 'id' in attributes]
    assert len(ids) > 50
    assert len(ids) == len(set(ids))


def tags_of(pages, name):
    return Tags(page(pages, name).read_text(encoding='utf-8')).tags


def test_the_numbers_are_on_the_page(pages):
    text = ' '.join(Tags(page(pages, 'instance').read_text(encoding='utf-8')).text)
    text = ' '.join(text.split())
    assert 'box AP 0.419 paper 0.420 −0.001' in text
    assert 'Precision over recall: mask' in text
    assert 'IoU 0.75' in text
    assert 'This run' in text
    assert 'PoolFormer-S24' in text
    assert 'class 79' in text, 'the class without a score is named'


def test_what_is_missing_is_said(pages):
    text = page(pages, 'hand').read_text(encoding='utf-8')
    assert 'Gallery left out: no images at hand.' in text
    assert '<img' not in text


def test_confusions_are_shares_of_the_true_class(tmp_path):
    result = semantic_result(('wall', 'sky', 'lamp'))
    result.arrays['confusion_matrix'] = np.array([[6, 2, 0], [0, 5, 0], [0, 0, 0]])
    write_task_report(result, tmp_path)
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    shown = re.findall(r'<text[^>]*>(\d+)</text>', text)
    assert shown == ['75', '25', '100']
    assert 'Largest confusions' not in text, 'no number twice'


def test_of_many_classes_the_largest_confusions_are_listed(tmp_path):
    result = semantic_result([f'class {index}' for index in range(11)])
    matrix = 100 * np.eye(11, dtype=np.int64)
    matrix[4, 7] = 25
    result.arrays['confusion_matrix'] = matrix
    write_task_report(result, tmp_path)
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    found = text[text.index('Largest confusions') :]
    assert re.findall(r'<td[^>]*>(.*?)</td>', found)[:3] == ['class 4', 'class 7', '20.0']
    assert not re.findall(r'<text[^>]*>(\d+)</text>', text)


def test_first_things_first_and_no_number_twice(tmp_path):
    result = instance_result()
    result.protocol |= {'rule': 'at most 100 detections', 'images_scored': '40 of 5000'}
    write_task_report(result, tmp_path, gallery=entries())
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    heads = re.findall(r'<h2>(.*?)</h2>', text)
    assert heads[:3] == ['What costs most', 'The worst pictures', 'Beside published results']
    assert text.index('class="value number">0.419') < text.index('What costs most')
    rule = 't most 100 detections; 40 of 5000 images scored.'
    assert text.count(f'>A{rule}') == 3  # cards, table, classes
    assert text.count(f'>This run: a{rule}') == 1  # published rows
    assert '<td>images_scored</td>' not in text
    more = text[text.index('More numbers') : text.index('<h2>Curves')]
    assert 'bbox_mAP_75' in more
    assert 'bbox_mAP</code>' not in more
    assert text.count('3.jpg: prediction beside') == 1, 'the worst picture stands once'


def test_published_rows_stand_beside_the_same_data_alone(tmp_path):
    result = instance_result(dataset='road defects', samples=37)
    write_task_report(result, tmp_path, references=published_rows('instance', 'road', 37, 'sa24'))
    for name in ('report.html', 'report.md'):
        text = (tmp_path / name).read_text(encoding='utf-8')
        assert 'Swin-T' not in text
        assert 'ICCV' not in text


def test_of_very_many_classes_most_fold_away(tmp_path):
    """As LVIS: 1203 classes, many of them in no picture."""
    result = instance_result([f'class {index}' for index in range(1203)])
    for row in result.per_class[::4]:
        row |= {'bbox_AP': None, 'segm_AP': None}
    write_task_report(result, tmp_path)
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    open_part = re.sub(r'<details>.*?</details>', '', text, flags=re.DOTALL)
    assert text.count('class="class"') > 900
    assert open_part.count('class="class"') < 60
    assert len(set(re.findall(r'class \d+', text))) == 1203
    lines = (tmp_path / 'report.md').read_text(encoding='utf-8').splitlines()
    assert sum(line.startswith('| class ') for line in lines) < 60
    assert '1,203 in all, 901 of them with a score; report.json has every one.' in lines


def test_a_picture_that_cannot_be_read_leaves_a_line(tmp_path):
    gallery = [('a', 1.0, tmp_path / 'missing.png', 'Best'), ('b', 0.0, picture(), 'Worst')]
    write_task_report(semantic_result(), tmp_path, gallery=gallery)
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert 'Picture left out: missing.png: not a readable picture: no such file' in text
    assert text.count('<img') == 1


@pytest.fixture(scope='module')
def browser():
    if not find_chromium():
        pytest.skip('Chromium is not installed')
    with Browser(seconds=90) as opened:
        yield opened


@pytest.mark.parametrize('width', [1280, 390])
@pytest.mark.parametrize('name', ['instance', 'semantic', 'hand', 'hostile', 'mean', 'summary'])
def test_in_a_browser(pages, browser, name, width):
    path = page(pages, name)
    browser.open(path, width)
    assert browser.evaluate('window.innerWidth') == width
    assert browser.evaluate('document.documentElement.scrollWidth') <= width
    pictures = browser.evaluate(
        '[...document.images].map(i => i.complete && i.naturalWidth > 0 && i.clientWidth > 0)'
    )
    assert all(pictures)
    expected = {'instance': 4, 'semantic': 4, 'hostile': 4, 'summary': 6}.get(name, 0)
    assert len(pictures) == expected
    empty = 'g => g.getBoundingClientRect().height < 150'
    assert browser.evaluate(f'[...document.querySelectorAll("svg")].filter({empty}).length') == 0
    assert 'broken' not in browser.evaluate('document.title')
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []


def test_the_browser_test_can_fail(tmp_path, browser):
    bad = tmp_path / 'bad.html'
    bad.write_text(
        '<!doctype html><div style="width: 2000px">x</div><img src="http://192.0.2.1/a.png">'
        '<script>console.error("no"); nothing()</script>',
        encoding='utf-8',
    )
    browser.open(bad, 390)
    assert browser.evaluate('document.documentElement.scrollWidth') >= 2000
    assert 'http://192.0.2.1/a.png' in browser.requests()
    seen = {event['method'] for event in browser.complaints()}
    assert {'Runtime.consoleAPICalled', 'Runtime.exceptionThrown', 'Network.loadingFailed'} <= seen


def test_dark_and_light(pages, browser):
    def brightness(dark):
        browser.open(page(pages, 'instance'), 1280, dark=dark)
        color = browser.evaluate('getComputedStyle(document.body).backgroundColor')
        return sum(map(int, re.findall(r'\d+', color)[:3]))

    assert brightness(dark=True) < 150
    assert brightness(dark=False) > 600


def test_masks_alone_lead_the_table(tmp_path):
    result = instance_result()
    result.metrics = {name: v for name, v in result.metrics.items() if name.startswith('segm')}
    write_task_report(result, tmp_path, references=published_rows('instance', 'COCO', 5000, 'sa24'))
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    heads = re.findall(r'<th[^>]*>(.*?)</th>', text)
    assert 'mask AP' in heads[1]
    rows = re.findall(r'<span class="who">(.*?)</span>', text)
    assert rows.index('This run') == 7, 'masks of 0.379 between those of 0.380 and 0.377'


def test_the_row_of_this_run_has_its_interval():
    ends = dict(low=0.4012, high=0.4321, level=0.95, resamples=1000)
    report = {
        'task': 'instance',
        'metrics': {'bbox_mAP': 0.4187},
        'uncertainty': {'bbox_mAP': ends},
        'reference': [{'name': 'peer', 'metrics': {'bbox_mAP': 0.4}}],
        'model': None,
        'dataset': 'COCO',
        'split': 'val',
        'samples': 5000,
    }
    report = Presentation('Instances', columns=('bbox_mAP',)).shown(report)
    values = {row['name']: row['values'] for row in html._published(report)['rows']}
    assert values == {'This run': ['0.419 [0.401, 0.432]'], 'peer': ['0.400']}
