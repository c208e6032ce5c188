import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

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
