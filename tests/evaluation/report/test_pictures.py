import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from fastvit_dense.evaluation import EvaluationResult
from fastvit_dense.evaluation.report import pictures as gallery
from fastvit_dense.evaluation.report.pictures import data_uri, pick_samples
from tests.evaluation.samples import picture
from tests.facts import raises_naming


def ids(picked):
    return {name: [sample['id'] for group, sample in picked if group == name] for name, _ in picked}


def test_best_median_and_worst():
    samples = [{'id': i, 'score': float((7 * i) % 11)} for i in range(11)]
    by_score = sorted(range(11), key=lambda i: -((7 * i) % 11))
    assert ids(pick_samples(samples, each=2)) == {
        'Best': by_score[:2],
        'Median': by_score[4:6],
        'Worst': by_score[-2:],
    }
    (middle,) = ids(pick_samples(samples, each=1))['Median']
    assert samples[middle]['score'] == np.median([sample['score'] for sample in samples])


@pytest.mark.parametrize('count', range(12))
def test_no_sample_stands_twice(count):
    picked = pick_samples([{'id': i, 'score': -float(i)} for i in range(count)], each=2)
    chosen = [sample['id'] for _, sample in picked]
    assert len(chosen) == len(set(chosen)) == min(count, 6)
    assert chosen == sorted(chosen), 'the best first'


def test_samples_without_a_score_are_left_out():
    samples = [
        {'id': 1, 'score': math.nan},
        {'id': 2, 'score': None},
        {'id': 3, 'score': 0.5},
        {'id': 4},
    ]
    assert ids(pick_samples(samples)) == {'Best': [3]}


def decode(uri):
    head, _, data = uri.partition(',')
    assert head == 'data:image/jpeg;base64'
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_picture_comes_back_from_its_uri(tmp_path):
    original = picture(320, 120)
    original.save(tmp_path / 'p.png')
    for source in (original, tmp_path / 'p.png', str(tmp_path / 'p.png')):
        uri, width, height = data_uri(source)
        assert (width, height) == decode(uri).size == (320, 120)
        error = np.abs(np.asarray(decode(uri), float) - np.asarray(original, float))
        assert error.mean() < 2


def test_a_wide_picture_is_made_smaller_in_proportion():
    uri, width, height = data_uri(picture(4000, 1000))
    assert (width, height) == decode(uri).size == (1280, 320)


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', 'LA', '1', 'CMYK', 'I;16'])
def test_any_mode(mode):
    image = Image.new(mode, (10, 6))
    assert decode(data_uri(image)[0]).size == (10, 6)


def test_what_is_transparent_turns_white():
    uri, *_ = data_uri(Image.new('RGBA', (8, 8), (0, 0, 0, 0)))
    assert np.asarray(decode(uri)).min() > 250


def test_a_broken_file_is_named(tmp_path, monkeypatch):
    picture().save(tmp_path / 'cut.png')
    whole = (tmp_path / 'cut.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'text.png').write_text('no picture', encoding='utf-8')
    (tmp_path / 'empty.png').touch()
    for name in ('cut.png', 'text.png', 'empty.png', 'missing.png'):
        with raises_naming(ValueError, name, 'picture'):
            data_uri(tmp_path / name)
    (tmp_path / 'cut.png').write_bytes(whole)
    monkeypatch.setattr(gallery, 'MAX_PIXELS', 100)
    with raises_naming(ValueError, 'cut.png', 100, 'pixels', 'found', '400 × 150'):
        data_uri(tmp_path / 'cut.png')


def video(count=6):
    """Frames that hardly differ, then pictures of other things."""
    random = np.random.default_rng(0)
    scenes = [random.integers(0, 255, (12, 16, 3)).repeat(16, 0).repeat(16, 1) for _ in range(15)]
    frames = [np.roll(scenes[0], i % 3, axis=1) + random.integers(0, 3) for i in range(count - 1)]
    pictures = [np.clip(picture, 0, 255) for picture in [*frames, *scenes]]
    return [Image.fromarray(picture.astype(np.uint8)) for picture in pictures]


def chosen(pictures, scores):
    """Pictures of each group that `make_gallery` takes, and how many were drawn."""
    drawn = []

    def draw(cfg, dataset, ids, predictions):
        for number in ids:
            drawn.append(number)
            yield str(number), pictures[number]

    samples = [{'id': i, 'score': float(score)} for i, score in enumerate(scores)]
    result = EvaluationResult('semantic', '', '', len(samples), {}, per_sample=samples)
    cfg = Config({'test_dataloader': {'dataset': {'type': 'BaseDataset'}}})
    entries, note = gallery.make_gallery(cfg, result, Path('none'), draw)
    assert note == ''
    names = dict.fromkeys(entry.group for entry in entries)
    groups = {name: [int(e.title) for e in entries if e.group == name] for name in names}
    return groups, drawn


def test_worst_pictures_are_not_neighbours_of_one_video():
    groups, drawn = chosen(video(), range(20))
    assert groups['Worst'] == [8, 7, 6, 0], 'one frame of the video, then the next worst'
    assert groups['Best'] == [19, 18]
    assert len(drawn) == len(set(drawn))


def test_where_all_are_alike_the_worst_are_shown_all_the_same():
    frame = picture(64, 48)
    groups, _ = chosen([frame] * 20, range(20))
    assert {name: len(ids) for name, ids in groups.items()} == {'Best': 2, 'Median': 2, 'Worst': 4}
    assert groups['Worst'] == [3, 2, 1, 0]
