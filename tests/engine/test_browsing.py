"""Pages of training samples: what is drawn is what training gets, and where it lies."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from fastvit_dense.config.loaders import datasets_of
from fastvit_dense.datasets.formats.recognising import read_folder
from fastvit_dense.engine import browsing
from fastvit_dense.engine.seeding import SeededIndex
from fastvit_dense.errors import ConfigError, DataError
from fastvit_dense.tasks import TASKS
from fastvit_dense.tasks.config import load_config
from fastvit_dense.tasks.instance import InstanceTask
from fastvit_dense.visualization.palette import class_color
from tests.datasets.formats import annotated
from tests.evaluation.browser import Browser, find_chromium
from tests.facts import raises_naming

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]
COUNT = 3
TASK_NAMES = ('instance', 'semantic', 'hand')


@pytest.fixture(scope='module')
def pages(request, tmp_path_factory):
    """A page of each task."""
    folder = tmp_path_factory.mktemp('pages')
    return {
        name: browsing.browse(
            request.getfixturevalue(f'tiny_{name}'), folder / f'{name}.html', count=COUNT
        )
        for name in TASK_NAMES
    }


def legend(text):
    """Name -> its numbers, of the table of a page."""
    rows = re.findall(r'<tr><td>(?:<span[^>]*></span>)?(.*?)</td>(.*?)</tr>', text)
    return {name: re.findall(r'<td[^>]*>(.*?)</td>', cells) for name, cells in rows}


@pytest.mark.parametrize('name', TASK_NAMES)
def test_pages_stand_alone(pages, name):
    text = pages[name].read_text()
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', text)) == 3 * COUNT
    assert not re.search(r'<script|https?://', text)
    assert 'Seed 0.' in text
    assert 'SeedSample' in text
    assert not list(pages[name].parent.glob('data-*')), 'nothing else is written'


def test_objects_are_counted(pages, tiny_instance):
    """As they are: those of the annotation file, in the pictures that are shown."""
    text = pages['instance'].read_text()
    content = json.loads(tiny_instance.with_name('train.json').read_text())
    names = {c['id']: c['name'] for c in content['categories']}
    files = {i['id']: i['file_name'].rpartition('/')[2] for i in content['images']}
    shown = set(re.findall(r'<h3>(\S+\.jpg)</h3>', text))
    assert len(shown) == COUNT
    kept = [a for a in content['annotations'] if not a['iscrowd']]
    here = Counter(names[a['category_id']] for a in kept if files[a['image_id']] in shown)
    everywhere = Counter(names[a['category_id']] for a in kept)
    found = legend(text)
    assert {n: int(numbers[0]) for n, numbers in found.items()} == here
    assert {n: int(numbers[3]) for n, numbers in found.items()} == {n: everywhere[n] for n in here}


def test_pixels_are_shares(pages):
    found = legend(pages['semantic'].read_text())
    for column in range(3):
        shares = [float(numbers[column].rstrip('%')) for numbers in found.values()]
        assert sum(shares) == pytest.approx(100, abs=0.5)


def test_joints_of_fingers(pages):
    found = legend(pages['hand'].read_text())
    assert list(found) == ['thumb', 'index finger', 'middle finger', 'ring finger', 'little finger']
    assert all(0 < int(number) <= 4 * COUNT for numbers in found.values() for number in numbers)


class Bare(InstanceTask):
    """Draws nothing over the picture; not registered."""

    def draw_input(self, image, sample, classes, palette):
        return Image.fromarray(image), Counter()


def samples_of(config, *options):
    cfg = load_config(config, cfg_options=options, pretrained=False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return cfg, browsing.TrainingSamples(cfg, seed=0)


def test_samples_are_those_of_the_first_epoch(tiny_instance):
    """The dataloader of a training gives the same pictures, to the pixel, in the same order."""
    cfg, samples = samples_of(tiny_instance)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        expected = [x.numpy()[::-1].transpose(1, 2, 0) for b in loader for x in b['inputs']]
        found = [samples.look(index, Bare()) for index in samples.indices()]
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one.picture), other)


def test_boxes_are_drawn_where_the_augmentation_put_them(tiny_instance):
    """Mirrored and a quarter larger: the outline of a box from the file, moved by hand."""
    options = (
        'train_dataloader.dataset.pipeline.3.scales=[(400,400)]',
        'train_dataloader.dataset.pipeline.4.prob=1.0',
    )
    cfg, samples = samples_of(tiny_instance, *options)
    content = json.loads(tiny_instance.with_name('train.json').read_text())
    info = {i['file_name']: i for i in content['images']}
    order = [c['name'] for c in content['categories']]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        index = next(samples.indices())
        look = samples.look(index, InstanceTask())
        with samples.as_they_are():
            plain = samples.look(index, InstanceTask())
    image = info[look.path.rpartition('/')[2]]
    assert plain.size == (image['width'], image['height'])
    scale = look.size[0] / image['width']
    assert max(look.size) == 400
    boxes = [a for a in content['annotations'] if a['image_id'] == image['id']]
    smallest = min(boxes, key=lambda a: a['bbox'][2] * a['bbox'][3])
    names = {c['id']: c['name'] for c in content['categories']}
    color = class_color(order.index(names[smallest['category_id']]))
    x, y, width, height = smallest['bbox']
    lower = round(scale * (y + 0.75 * height))
    for picture, left, row, right in (
        (plain.picture, x, round(y + 0.75 * height), x + width),
        (look.picture, look.size[0] - scale * (x + width), lower, look.size[0] - scale * x),
    ):
        pixels = np.asarray(picture)
        for column in (left, right):
            near = pixels[row, max(round(column) - 2, 0) : round(column) + 3]
            assert (near == color).all(-1).any(), (column, row)


def test_the_seed_decides(tiny_semantic):
    cfg, samples = samples_of(tiny_semantic)
    task = TASKS['semantic']
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        index = next(samples.indices())
        other = SeededIndex(index, (1, *index.key))
        looks = [np.asarray(samples.look(one, task).picture) for one in (index, other, index)]
    assert not np.array_equal(looks[0], looks[1])
    np.testing.assert_array_equal(looks[0], looks[2])


def test_folders_find_their_config(tmp_path):
    kinds = {'yolo': 'maskrcnn', 'voc': 'fasterrcnn', 'masks': 'semfpn'}
    for name, kind in kinds.items():
        getattr(annotated, name)(tmp_path / name)
        found = read_folder(tmp_path / name)
        configs = [task.config_for(found) for task in TASKS.values()]
        assert next(filter(None, configs)) == f'finetune/{kind}_fastvit_sa12'


def cut(path):
    """Leave the first half of a picture, which tells its size."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_folder_with_a_broken_picture(tmp_path, capsys):
    """It stands on the page with the reason; where there is no other, that is the error."""
    annotated.yolo(tmp_path / 'parts')
    pictures = sorted((tmp_path / 'parts').rglob('train/**/*.jpg'))
    cut(pictures[0])
    page = browsing.browse(str(tmp_path / 'parts'), tmp_path / 'page.html')
    text = page.read_text()
    assert '<h1>maskrcnn_fastvit_sa12</h1>' in text
    assert '2 classes: screw 2, hex nut 2' in text, 'what was understood'
    assert re.search(rf'Left out: \S*{pictures[0].name}: ', text)
    assert f'{pictures[0].name}: ' in capsys.readouterr().out
    for path in pictures:
        cut(path)
    with raises_naming(DataError, pictures[0].name):
        browsing.browse(str(tmp_path / 'parts'), tmp_path / 'other.html')
    assert not (tmp_path / 'other.html').exists()


def test_what_cannot_be_shown_is_said(tiny_instance, tmp_path):
    page = tmp_path / 'page.html'
    with raises_naming(ConfigError, '--out', 'page.png'):
        browsing.browse(tiny_instance, tmp_path / 'page.png')
    with raises_naming(ConfigError, '--count 0'):
        browsing.browse(tiny_instance, page, count=0)
    (tmp_path / 'empty').mkdir()
    with raises_naming(DataError, 'empty'):
        browsing.browse(str(tmp_path / 'empty'), page)
    options = ['train_dataloader.dataset.pipeline.4.type=NoSuchFlip']
    with raises_naming(ConfigError, 'pipeline', 'NoSuchFlip'):
        browsing.browse(tiny_instance, page, cfg_options=options)
    cfg = load_config(tiny_instance)
    pipeline = next(datasets_of(cfg, ['train_dataloader'])).pipeline
    names = [step.type for step in pipeline]
    (steps, batches) = browsing.pipeline_steps(cfg)
    assert [name for name, _ in steps['steps']] == names
    assert batches['steps'][0][0] == 'DetDataPreprocessor'


@pytest.mark.slow
@pytest.mark.parametrize('width', [1280, 390])
def test_in_a_browser(pages, width):
    if not find_chromium():
        pytest.skip('Chromium is not installed')
    with Browser() as browser:
        for path in pages.values():
            browser.open(path, width)
            assert browser.evaluate('document.documentElement.scrollWidth') <= width
            assert browser.evaluate('[...document.images].every(i => i.naturalWidth > 0)')
            smallest = browser.evaluate('Math.min(...[...document.images].map(i => i.clientWidth))')
            assert smallest > 300
            assert browser.requests() == [path.as_uri()]
            assert browser.complaints() == []
