"""Predicting pictures and folders of them; no picture is lost."""

import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
import weakref
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from fastvit_dense import engine, load_model
from fastvit_dense.datasets.formats.mask_folders import read_labels
from fastvit_dense.datasets.formats.recognising import read_folder
from fastvit_dense.engine.prediction_files import Lines, Shard
from fastvit_dense.errors import ConfigError, ImageError, PredictionError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(photo, tmp_path):
    """Two pictures of different kinds, a broken one, and a file that is no picture."""
    root = tmp_path / 'pictures'
    root.mkdir()
    Image.fromarray(photo).save(root / 'a.png')
    Image.fromarray(photo[:64]).convert('L').save(root / 'b.JPG', format='JPEG')
    (root / 'broken.jpg').write_bytes((root / 'b.JPG').read_bytes()[:200])
    (root / 'notes.txt').write_text('no picture')
    return root


@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_folder_with_a_broken_picture(request, task, folder, tmp_path, capsys, photo):
    config = request.getfixturevalue(f'tiny_{task}')
    checkpoint = request.getfixturevalue({'instance': 'trained'}.get(task, 'trained_semantic'))
    out = tmp_path / 'out'
    written = engine.predict(config, str(checkpoint), str(folder), str(out), fuse=True)
    assert [path.name for path in written] == ['a.png', 'b.png']
    names = {'a.png', 'a.json', 'b.png', 'b.json'}
    if task == 'semantic':
        names |= {'a_labels.png', 'b_labels.png'}
    assert {path.name for path in out.iterdir()} == names
    with Image.open(out / 'a.png') as picture:
        assert picture.size == photo.shape[1::-1]
    assert json.loads((out / 'b.json').read_text())['task'] == task
    shown = capsys.readouterr().out
    assert 'broken.jpg' in shown
    assert 'notes.txt' not in shown


def test_nothing_to_predict(tiny_instance, trained, folder, tmp_path):
    def predict(images):
        engine.predict(tiny_instance, str(trained), str(images), str(tmp_path / 'out'))

    with raises_naming(ImageError, folder / 'none', 'no such file or folder'):
        predict(folder / 'none')
    empty = tmp_path / 'empty'
    empty.mkdir()
    with raises_naming(ImageError, empty, 'no pictures', '.jpg', '.png'):
        predict(empty)
    shutil.copy(folder / 'broken.jpg', empty)
    with raises_naming(ImageError, empty, 'none of 1 pictures'):
        predict(empty)
    assert not (tmp_path / 'out').exists()


def test_no_picture_is_overwritten(tiny_semantic, trained_semantic, folder, tmp_path):
    """Names that differ after the last dot, or before it, are different pictures."""
    with Image.open(folder / 'a.png') as image:
        image.save(folder / 'a.jpg')
        image.save(folder / 'a.1.png')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    options = (tiny_semantic, str(trained_semantic), str(folder))
    written = engine.predict(*options, str(tmp_path / 'out'))
    assert {path.name for path in written} == {'a_png.png', 'a_jpg.png', 'a.1.png', 'b.png'}
    with raises_naming(ImageError, folder.name, '.png', 'overwritten', '--out-dir'):
        engine.predict(*options, f'{folder}/../{folder.name}')
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def album(photo, tmp_path):
    """Seven pictures of three sizes in two folders, and one that is broken."""
    root = tmp_path / 'album'
    for number in range(7):
        path = root / ('sub' if number % 2 else '') / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[: 100 + 10 * (number % 3)]).save(path)
    (root / 'sub/bad.jpg').write_bytes(b'no picture')
    return root


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_folders_as_lines_and_annotations(trained, album, tmp_path, capsys):
    """A checkpoint alone; what `pycocotools` reads of the annotations is what was found."""
    out = tmp_path / 'out'
    settings = dict(recursive=True, pictures=False, as_annotations=True, score_thr=0.1)
    engine.predict(str(trained), None, str(album), str(out), **settings)
    assert sorted(path.name for path in out.iterdir()) == ['annotations.json', 'predictions.jsonl']
    records = read_lines(out / 'predictions.jsonl')
    assert [record['file_name'] for record in records] == [
        *('0.png', '2.png', '4.png', '6.png', 'sub/1.png', 'sub/3.png', 'sub/5.png')
    ]
    shown = capsys.readouterr().out
    assert f'skipped: {album}/sub/bad.jpg' in shown
    assert 'objects above 0.1 in 7 pictures' in shown
    model, truth = load_model(trained), COCO(str(out / 'annotations.json'))
    assert [c['name'] for c in truth.loadCats(truth.getCatIds())] == list(model.classes)
    for record, image in zip(records, truth.dataset['images'], strict=True):
        result = model(album / record['file_name']).above(0.1)
        assert (image['height'], image['width']) == result.image.shape[:2]
        entries = truth.imgToAnns[image['id']]
        assert len(entries) == len(record['instances']) == len(result)
        for entry, box, mask in zip(entries, result.boxes, result.masks, strict=True):
            x, y, w, h = entry['bbox']
            np.testing.assert_allclose([x, y, x + w, y + h], box, atol=0.05)
            assert entry['score'] >= 0.1
            assert entry['area'] == truth.annToMask(entry).sum()
            assert (truth.annToMask(entry) == mask).mean() > 0.999


def test_annotations_are_trained_on(trained, album, tmp_path):
    """mmdet's dataset reads them with the config's own classes and masks."""
    from mmengine.registry import DATASETS, DefaultScope

    out = tmp_path / 'out'
    settings = dict(pictures=False, as_annotations=True, score_thr=0.05)
    engine.predict(str(trained), None, f'{album}/*.png', str(out), **settings)
    cfg = load_config(trained)
    dataset = cfg.train_dataloader.dataset
    dataset.update(data_root='', ann_file=str(out / 'annotations.json'))
    dataset.data_prefix = dict(img=str(album))
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = DATASETS.build(dataset)
    records = read_lines(out / 'predictions.jsonl')
    assert len(built) == sum(bool(record['instances']) for record in records) > 0
    for number in range(len(built)):
        sample = built[number]['data_samples'].gt_instances
        assert len(sample.masks) == len(sample.labels) > 0


def test_annotations_beside_the_pictures_are_a_folder(trained, album, tmp_path):
    settings = dict(as_annotations=True, score_thr=0.1)
    engine.predict(str(trained), None, f'{album}/*.png', str(tmp_path / 'out'), **settings)
    shutil.rmtree(album / 'sub')
    shutil.copy(tmp_path / 'out/annotations.json', album)
    found = read_folder(album)
    records = read_lines(tmp_path / 'out/predictions.jsonl')
    assert found.classes == load_model(trained).classes
    assert found.objects == sum(len(record['instances']) for record in records) > 0
    assert not found.boxes_alone


def test_masks_are_trained_on(tiny_semantic, trained_semantic, album, tmp_path):
    """Values are those that the dataset's `reduce_zero_label` takes back to the labels."""
    out = tmp_path / 'out'
    options = (tiny_semantic, str(trained_semantic), f'{album}/*.png', str(out))
    engine.predict(*options, pictures=False, as_annotations=True)
    model = load_model(tiny_semantic, trained_semantic)
    assert model.dataset.reduce_zero_label
    for path in album.glob('*.png'):
        mask = np.asarray(Image.open(out / f'masks/{path.name}'))
        np.testing.assert_array_equal(mask, model(path).labels + 1)
    folder = tmp_path / 'drafts'
    shutil.copytree(album, folder / 'images', ignore=shutil.ignore_patterns('sub'))
    shutil.copytree(out / 'masks', folder / 'masks')
    shutil.copy(out / 'classes.json', folder)
    found = read_folder(folder)
    assert found.mask_classes == model.classes
    for picture in found.pictures:
        labels = read_labels(picture.mask, found.mask_code)
        np.testing.assert_array_equal(labels, model(picture.path).labels)


def test_shards_and_a_run_that_goes_on(trained, album, tmp_path, monkeypatch, capsys):
    """Each picture once; a line that was cut is made again; names come on standard input too."""
    out = tmp_path / 'out'
    names = sorted(album.rglob('*.png'))
    text = ''.join(f'{name}\n' for name in names)
    for part in ('1/2', '2/2'):
        monkeypatch.setattr('sys.stdin', io.StringIO(text))
        engine.predict(str(trained), None, '-', str(out), pictures=False, shard=part)
    files = [out / f'predictions-{i}-of-2.jsonl' for i in (1, 2)]
    found = [record['image'] for file in files for record in read_lines(file)]
    assert sorted(found) == sorted(map(str, names))
    whole = files[0].read_text()
    files[0].write_text(whole[: len(whole) // 2])
    monkeypatch.setattr('sys.stdin', io.StringIO(text))
    capsys.readouterr()
    engine.predict(str(trained), None, '-', str(out), pictures=False, shard='1/2', resume=True)
    assert files[0].read_text() == whole
    assert 'are done already' in capsys.readouterr().out
    monkeypatch.setattr('sys.stdin', io.StringIO(text))
    again = engine.predict(
        str(trained), None, '-', str(out), pictures=False, shard='1/2', resume=True
    )
    assert again == []


@pytest.mark.slow
@pytest.mark.parametrize('format', ['jsonl', 'parquet'])
def test_killed_and_gone_on_with(trained, photo, root_dir, format, tmp_path):
    """SIGKILL while it writes; what the second run leaves is what one run writes."""
    if format == 'parquet':
        pytest.importorskip('pyarrow', reason='extra [parquet] is not installed')
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in range(60):
        Image.fromarray(photo[number : number + 64, :64]).save(folder / f'{number:02}.png')
    words = [sys.executable, '-m', 'fastvit_dense', 'predict', trained, folder, '--no-pictures']
    words += ['--format', format, '--resume']
    environment = {**os.environ, 'PYTHONPATH': str(root_dir)}

    def lines(out):
        found = [path for path in out.rglob('*.jsonl*') if path.is_file()]
        return sum(path.read_bytes().count(b'\n') for path in found)

    with subprocess.Popen(
        [*words, '--out-dir', tmp_path / 'out'], env=environment, stdout=subprocess.DEVNULL
    ) as first:
        until = time.monotonic() + 120
        while lines(tmp_path / 'out') < 5 and time.monotonic() < until:
            assert first.poll() is None
            time.sleep(0.01)
        first.kill()
    done = lines(tmp_path / 'out')
    assert 5 <= done < 60
    again = subprocess.run(
        [*words, '--out-dir', tmp_path / 'out'], env=environment, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert 'pictures are done already' in again.stdout
    subprocess.run([*words, '--out-dir', tmp_path / 'whole'], env=environment, check=True)
    if format == 'jsonl':
        name = 'predictions.jsonl'
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()
    else:
        from pyarrow import parquet

        tables = [
            parquet.read_table(tmp_path / x / 'predictions.parquet') for x in ('out', 'whole')
        ]
        assert tables[0].equals(tables[1])
        assert tables[0].num_rows == 60


def test_pictures_that_are_there_stay(trained, album, tmp_path):
    out = tmp_path / 'out'
    first = engine.predict(str(trained), None, f'{album}/0.png', str(out))
    time = first[0].stat().st_mtime_ns
    written = engine.predict(str(trained), None, f'{album}/?.png', str(out), resume=True)
    assert sorted(path.name for path in written) == ['2.png', '4.png', '6.png']
    assert first[0].stat().st_mtime_ns == time


def test_nothing_above_a_score_is_said(trained, album, tmp_path, capsys):
    written = engine.predict(
        str(trained), None, f'{album}/0.png', str(tmp_path / 'out'), score_thr=0.99
    )
    shown = capsys.readouterr().out
    assert '0 objects above 0.99 in 1 pictures' in shown
    assert f'0 objects above 0.99: {album}/0.png (the best scores 0.' in shown
    assert json.loads(written[0].with_suffix('.json').read_text())['instances'] == []


def test_results_without_scores(tiny_semantic, trained_semantic, album, tmp_path):
    options = (tiny_semantic, str(trained_semantic), f'{album}/0.png', str(tmp_path / 'out'))
    with raises_naming(PredictionError, '--score-thr 0.5', 'no scores'):
        engine.predict(*options, score_thr=0.5)


def test_pictures_at_addresses(trained, album, tmp_path, monkeypatch, capsys):
    """Beside files; what is not there is listed; names differ where addresses do."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=str(album))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f'http://127.0.0.1:{server.server_port}'
        sources = [f'{root}/0.png', f'{root}/0.png?v=2', f'{root}/none.png', f'{album}/0.png']
        written = engine.predict(str(trained), None, sources, str(tmp_path / 'out'))
        again = engine.predict(str(trained), None, sources[:1], str(tmp_path / 'one'))
        engine.predict(
            str(trained), None, sources[:2], str(tmp_path / 'lines'), pictures=False, resume=True
        )
        server.shutdown()
    host = root.removeprefix('http://').replace(':', '_')
    names = [path.relative_to(tmp_path / 'out').as_posix() for path in written]
    assert [re.sub('_[0-9a-f]{8}', '_HASH', name) for name in names] == [
        *(f'{host}/0_png_HASH.png', f'{host}/0_png_HASH.png', '0.png')
    ]
    assert len(set(names)) == 3
    assert again == [tmp_path / 'one/0.png']
    assert written[2].read_bytes() == again[0].read_bytes() == written[0].read_bytes()
    assert f'skipped: {root}/none.png: cannot be had: HTTP Error 404' in capsys.readouterr().out
    records = read_lines(tmp_path / 'lines/predictions.jsonl')
    assert [record['image'] for record in records] == sources[:2]


@pytest.mark.parametrize('text', ['0/3', '4/3', '1', 'a/b', '1/2/3', '-1/3'])
def test_shards_that_are_none(text):
    with raises_naming(ConfigError, f'--shard {text}', 'I/N'):
        Shard(text)


def test_lines_of_someone_else(tmp_path):
    (tmp_path / 'x.jsonl').write_text('{"image": "a"}\n[]\n')
    with raises_naming(PredictionError, tmp_path / 'x.jsonl', 'line 2', '"image"'):
        list(Lines(tmp_path / 'x.jsonl', resume=True))


def test_few_pictures_and_results_are_held(tiny_semantic, random_semantic, photo):
    """The batch that runs and the one that is read beside it, however many follow."""
    model = load_model(tiny_semantic, random_semantic)
    read, results = [], []

    def alive(held):
        return sum(thing() is not None for thing in held)

    def pictures():
        for _ in range(24):
            picture = photo[:60, :80].copy()
            read.append(weakref.ref(picture))
            yield picture

    for result in model.stream(pictures(), batch_size=3):
        results.append(weakref.ref(result))
        assert alive(read) <= 6
        assert alive(results) <= 3
    assert len(read) == len(results) == 24


@pytest.mark.slow
def test_memory_stays_flat(tiny_semantic, trained_semantic, photo, tmp_path):
    """Of 300 pictures the last 200 take no more than the first 100."""
    model = load_model(tiny_semantic, trained_semantic)
    small = np.ascontiguousarray(photo[:60, :80])
    peaks = []
    for number, _ in enumerate(model.stream((small for _ in range(300)), batch_size=4)):
        if number in (99, 299):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert peaks[1] - peaks[0] < 20  # megabytes; 200 of these results hold 11
