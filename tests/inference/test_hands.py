"""Hands of whole photographs: placed where they are, left hands as mirrored right ones."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from fastvit_dense import engine, load_model
from fastvit_dense.datasets.sample.scene_files import SAMPLE_CLASSES
from fastvit_dense.errors import ConfigError, DataError, ImageError
from fastvit_dense.hand.camera import project
from fastvit_dense.inference.hands import (
    ROOM,
    BoxesOfDetector,
    BoxesOfFile,
    HandBox,
    HandsPredictor,
    predict_hands,
)
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def model(tiny_hand, random_hand):
    return load_model(tiny_hand, random_hand)


@pytest.fixture(scope='module')
def crop(hand_tree):
    """A picture of one hand, (224, 224, 3)."""
    from fastvit_dense.datasets.loading import read_image

    path = sorted((hand_tree / 'evaluation/rgb').iterdir())[0]
    return np.ascontiguousarray(read_image(str(path))[..., ::-1])


def photograph(crop, places, size=(400, 700)):
    picture = np.full((*size, 3), (124, 116, 104), np.uint8)
    for (x, y), mirrored in places:
        picture[y : y + 224, x : x + 224] = crop[:, ::-1] if mirrored else crop
    return picture


def box_at(x, y):
    """The box whose crop is the square of 224 pixels at a place."""
    side = 224 / ROOM
    return (x + 112 - side / 2, y + 112 - side / 2, side, side)


def test_both_hands_are_where_they_are_seen(model, crop):
    """The crop of either is the picture that the model was made for; the left one mirrored."""
    alone = model(crop)
    places = [((20, 30), False), ((420, 120), True)]
    picture = photograph(crop, places)
    boxes = [HandBox(box_at(*place), is_right=not left) for place, left in places]
    result = predict_hands(model, picture, boxes)
    right, left = result.hands
    assert (right.is_right, left.is_right, len(result)) == (True, False, 2)
    seen = project(alone.joints, alone.K)
    np.testing.assert_allclose(right.joints, alone.joints, atol=1e-4)
    np.testing.assert_allclose(project(right.joints, right.K), np.add(seen, (20, 30)), atol=0.05)
    mirrored = seen * (-1, 1) + (224 + 420, 120)
    np.testing.assert_allclose(project(left.joints, left.K), mirrored, atol=0.05)
    np.testing.assert_allclose(left.vertices, alone.vertices * (-1, 1, 1), atol=1e-4)
    drawn = np.asarray(result.draw())
    assert drawn.shape == picture.shape
    changed = (drawn != picture).any(2)
    for (x, y), _ in places:
        assert changed[y : y + 224, x : x + 224].any()
        changed[y : y + 224, x : x + 224] = False
    assert changed.mean() < 0.5


def test_command_with_the_lines_of_a_detector(model, crop, tiny_hand, random_hand, tmp_path):
    from PIL import Image

    path = tmp_path / 'two.png'
    Image.fromarray(photograph(crop, [((20, 30), False)])).save(path)
    found = [
        {'bbox': box_at(20, 30), 'score': 0.9, 'class': 'right hand'},
        {'bbox': box_at(420, 120), 'score': 0.8, 'class': 'Left_hand'},
        {'bbox': box_at(300, 30), 'score': 0.1, 'class': 'right hand'},
    ]
    boxes = tmp_path / 'predictions.jsonl'
    boxes.write_text(json.dumps({'image': str(path), 'instances': found}) + '\n')
    options = (tiny_hand, str(random_hand), str(path), str(tmp_path / 'out'))
    engine.predict(*options, boxes=str(boxes))
    names = sorted(file.name for file in (tmp_path / 'out').iterdir())
    assert names == ['two.json', 'two.png', 'two_hand0.obj', 'two_hand1.obj']
    data = json.loads((tmp_path / 'out/two.json').read_text())
    assert [hand['is_right'] for hand in data['hands']] == [True, False]
    assert [hand['score'] for hand in data['hands']] == [0.9, 0.8]


def test_command_with_a_detector_of_ours(model, crop, trained, tiny_hand, random_hand, tmp_path):
    """A checkpoint whose biases make it sure; one of its classes is called a left hand."""
    import torch
    from PIL import Image

    content = torch.load(trained, weights_only=False)
    names = [f'right {name}' for name in content['meta']['dataset_meta']['classes']]
    names[1] = 'left hand'
    content['meta']['dataset_meta']['classes'] = tuple(names)
    content['meta']['cfg'] = rename_classes(content['meta'], names)
    bias = content['state_dict']['roi_head.bbox_head.fc_cls.bias']
    bias[:] = -9
    bias[:2] = 9
    torch.save(content, tmp_path / 'detector.pth')
    photo = tmp_path / 'two.png'
    Image.fromarray(photograph(crop, [((20, 30), False)])).save(photo)
    boxes = str(tmp_path / 'detector.pth')
    options = (tiny_hand, str(random_hand), str(photo), str(tmp_path / 'out'))
    engine.predict(*options, boxes=boxes)
    hands = json.loads((tmp_path / 'out/two.json').read_text())['hands']
    found = load_model(boxes)(photo).above(0.3).to_dict()['instances']
    assert 2 <= len(found) == len(hands)
    assert [hand['is_right'] for hand in hands] == [i['class'] != 'left hand' for i in found]
    assert {hand['is_right'] for hand in hands} == {True, False}
    given = [HandBox(tuple(i['bbox']), i['class'] != 'left hand') for i in found]
    for hand, expected in zip(hands, predict_hands(model, photo, given).hands, strict=True):
        np.testing.assert_allclose(hand['joints'], expected.joints, atol=1e-5)


def rename_classes(meta, names):
    """The text of the config in a checkpoint with other classes, and few boxes a picture."""
    text = meta['cfg']
    for old, new in zip(SAMPLE_CLASSES, names, strict=True):
        text = text.replace(f"'{old}'", f"'{new}'")
    return re.sub(r'max_per_img=\d+', 'max_per_img=6', text)


def test_what_does_not_work(model, tiny_semantic, trained_semantic, photo, tmp_path):
    boxes = tmp_path / 'boxes.jsonl'
    for bbox in ('[0, 0, -5, 5]', '[NaN, 1, 9, 9]', '[1, 2, 3]', '"abcd"'):
        boxes.write_text(f'{{"image": "a.png", "instances": [{{"bbox": {bbox}}}]}}\n')
        with raises_naming(DataError, boxes, 'line 1', '"bbox"', 'x, y, width, height', 'found'):
            BoxesOfFile(boxes)
    boxes.write_text('{"image": "a.png", "instances": [{"bbox": [1, 2, 3, 4], "score": "high"}]}')
    with raises_naming(DataError, boxes, 'line 1', '"score"', "'high'"):
        BoxesOfFile(boxes)
    boxes.write_text('\n{"image": "a.png", "instances": []}\n{"image": "./a.png", "instances": []}')
    with raises_naming(DataError, boxes, 'line 3', 'one line for each picture', './a.png'):
        BoxesOfFile(boxes)
    boxes.write_text('\n')
    with raises_naming(DataError, boxes, 'found none'):
        BoxesOfFile(boxes)
    with raises_naming(DataError, tmp_path / 'none.jsonl'):
        BoxesOfFile(tmp_path / 'none.jsonl')
    boxes.write_text('{"image": "a.png", "instances": []}\n')
    with raises_naming(ImageError, 'b.png', boxes, 'but of a.png'):
        BoxesOfFile(boxes)('b.png')
    assert BoxesOfFile(boxes)('./a.png') == []
    boxes.write_text('{"image": "a.png", "instances": [{"bbox": [0.2, 0.1, 0.5, 0.9]}]}\n')
    with raises_naming(DataError, boxes, 'line 1', 'in pixels', 0.2, 'shares'):
        BoxesOfFile(boxes)
    with raises_naming(ConfigError, '--boxes', 'detector', 'hand'):
        BoxesOfDetector(model)
    boxes.write_text('{"image": "a.png", "instances": []}\n')
    options = (tiny_semantic, str(trained_semantic), str(tmp_path), str(tmp_path / 'out'))
    from PIL import Image

    Image.fromarray(photo).save(tmp_path / 'a.png')
    with raises_naming(ConfigError, '--boxes', 'semantic'):
        engine.predict(*options, boxes=str(boxes))


def test_boxes_of_another_picture(model, crop):
    for box in ((300, 20, 50, 50), (20, 300, 50, 50), (-60, 20, 50, 50)):
        with raises_naming(DataError, 'inside', '224 x 224', 'found', list(box)):
            predict_hands(model, crop, [HandBox((20, 20, 50, 50)), HandBox(box)])
    assert len(predict_hands(model, crop, [HandBox((200, 200, 50, 50))])) == 1


def test_lines_that_are_read(tmp_path, monkeypatch):
    """A byte order mark, empty lines, boxes without size, and another spelling of the path."""
    monkeypatch.chdir(tmp_path)
    boxes = tmp_path / 'boxes.jsonl'
    instances = '[{"bbox": [0, 0, 0, 5]}, {"bbox": [5, 5, 8, 9]}]'
    text = f'\n{{"image": "photos/a.png", "instances": {instances}}}\n\n'
    boxes.write_text(text, encoding='utf-8-sig')
    read = BoxesOfFile(boxes)
    for path in ('photos/a.png', tmp_path / 'photos/a.png', './photos/../photos/a.png'):
        assert [hand.box for hand in read(path)] == [(5, 5, 8, 9)]


def test_boxes_that_look_like_corners_are_told(model, crop, logged):
    def run(*boxes):
        logged.clear()
        predictor = HandsPredictor(model, lambda _: [HandBox(box) for box in boxes])
        ((_, found),) = predictor.pairs([crop])
        assert len(found) == len(boxes)
        return ''.join(logged)

    assert '1 of 2 boxes' in (told := run((20, 30, 100, 120), (130, 140, 200, 210)))
    assert 'x, y, right, bottom?' in told
    assert not run((-40, -40, 100, 100), (150, 150, 100, 100))  # at the border, as hands are


def test_a_detectors_boxes_without_size_are_left_out():
    class Result:
        def above(self, score):
            return self

        def to_dict(self):
            boxes = ([5, 5, 0, 9], [5, 5, 8, 9])
            return {'instances': [{'bbox': box, 'class': 'hand', 'score': 0.9} for box in boxes]}

    class Detector:
        task = SimpleNamespace(name='instance')

        def predict(self, path):
            return Result()

    assert [hand.box for hand in BoxesOfDetector(Detector())('a.png')] == [(5, 5, 8, 9)]
