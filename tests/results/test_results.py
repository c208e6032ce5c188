"""What a model says of one image: fields, files, pictures."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from fastvit_dense.results.hand import HandResult
from fastvit_dense.results.instance import InstanceResult
from fastvit_dense.results.semantic import SemanticResult

CLASSES = ('cat', 'cup')


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture
def instances(image):
    masks = np.zeros((2, 120, 160), bool)
    masks[0, 20:60, 40:120] = True
    masks[1, 80:112, 8:36] = True
    rles = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    result = InstanceResult(
        boxes=np.array([[40, 20, 120, 60], [8, 80, 36, 112]], np.float32),
        scores=np.array([0.9, 0.2], np.float32),
        labels=np.array([1, 0]),
        rles=rles,
        classes=CLASSES,
        image=image,
    )
    return result, masks


def test_instances_as_dict(instances):
    """x, y, width, height as in COCO; JSON takes it; the masks come back from it."""
    result, masks = instances
    data = json.loads(json.dumps(result.to_dict()))
    assert [item['bbox'] for item in data['instances']] == [[40, 20, 80, 40], [8, 80, 28, 32]]
    assert [item['class'] for item in data['instances']] == ['cup', 'cat']
    assert [item['label'] for item in data['instances']] == [1, 0]
    assert [item['score'] for item in data['instances']] == pytest.approx([0.9, 0.2])
    for item, mask in zip(data['instances'], masks, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(item['segmentation']), mask)
    np.testing.assert_array_equal(result.masks, masks)


def test_instances_below_the_threshold_are_not_drawn(instances, image):
    result, masks = instances
    drawn = np.asarray(result.draw())
    assert (drawn[masks[0]] != image[masks[0]]).any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(drawn[70:], image[70:])
    result.score_threshold = 0.1
    assert (np.asarray(result.draw())[masks[1]] != image[masks[1]]).any()


def test_boxes_without_masks(instances):
    result, _ = instances
    result.rles = None
    assert result.masks is None
    assert all('segmentation' not in item for item in result.to_dict()['instances'])
    assert result.draw().size == (160, 120)


def test_no_instance(instances, image):
    result, _ = instances
    empty = InstanceResult(
        result.boxes[:0], result.scores[:0], result.labels[:0], [], CLASSES, image
    )
    assert empty.masks.shape == (0, 120, 160)
    assert empty.to_dict() == {'task': 'instance', 'instances': []}
    np.testing.assert_array_equal(np.asarray(empty.draw()), image)


@pytest.mark.parametrize('suffix', ['json', 'png', 'jpg'])
def test_saved_by_the_suffix(instances, tmp_path, suffix):
    """The folder is made; a dot within the name is part of it."""
    path = instances[0].save(tmp_path / 'new' / f'photo.v2.{suffix}')
    assert path == tmp_path / 'new' / f'photo.v2.{suffix}'
    if suffix == 'json':
        assert json.loads(path.read_text()) == instances[0].to_dict()
    else:
        with Image.open(path) as picture:
            assert picture.size == (160, 120)
    with pytest.raises(ValueError, match=r'photo\.gif: expected \.json, \.png or \.jpg'):
        instances[0].save(str(tmp_path / 'photo.gif'))


def test_an_interruption_leaves_the_former_file(instances, tmp_path, monkeypatch):
    path = instances[0].save(tmp_path / 'photo.json')
    before = path.read_text()

    def interrupted(path, text):
        path.write_bytes(text[:9].encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), 'write_text', interrupted)
    with pytest.raises(KeyboardInterrupt):
        instances[0].save(path)
    assert [file.name for file in tmp_path.iterdir()] == ['photo.json']
    assert path.read_text() == before


@pytest.mark.parametrize('classes', [3, 256, 300])
def test_label_files_keep_every_class(image, tmp_path, classes):
    """8 bits where they hold all classes, else 16."""
    labels = np.random.default_rng(1).integers(0, classes, (120, 160))
    labels[0, 0] = classes - 1
    names = tuple(f'class {i}' for i in range(classes))
    result = SemanticResult(labels, names, None, image)
    path = result.save_labels(tmp_path / 'new' / 'labels.png')
    with Image.open(path) as stored:
        assert stored.mode == ('L' if classes <= 256 else 'I;16')
        np.testing.assert_array_equal(np.asarray(stored), labels)


def test_shares_of_the_classes(image, tmp_path):
    labels = np.zeros((120, 160), np.int64)
    labels[:, :40] = 2
    result = SemanticResult(labels, ('sky', 'sea', 'sand'), None, image)
    assert result.to_dict() == {
        'task': 'semantic',
        'size': [120, 160],
        'classes': [
            {'label': 0, 'class': 'sky', 'share': 0.75},
            {'label': 2, 'class': 'sand', 'share': 0.25},
        ],
    }
    assert json.loads(result.save(tmp_path / 'a.json').read_text()) == result.to_dict()
    assert result.save(tmp_path / 'a.png').is_file()


def test_hand_as_dict_and_mesh(tmp_path, image):
    """Every number comes back from the JSON; the mesh file holds the vertices in metres."""
    rng = np.random.default_rng(2)
    result = HandResult(
        joints=rng.normal(size=(21, 3)).astype(np.float32),
        vertices=rng.normal(size=(778, 3)).astype(np.float32),
        faces=rng.integers(0, 778, (1538, 3)),
        global_orient=np.eye(3, dtype=np.float32),
        hand_pose=np.tile(np.eye(3, dtype=np.float32), (15, 1, 1)),
        betas=np.zeros(10, np.float32),
        K=np.array([[500.0, 0, 112], [0, 500, 112], [0, 0, 1]]),
        hand_model='stand-in',
        image=image,
    )
    data = json.loads(result.save(tmp_path / 'hand.json').read_text())
    assert data['hand_model'] == 'stand-in'
    for name in ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas', 'K'):
        np.testing.assert_array_equal(
            np.asarray(data[name], getattr(result, name).dtype), getattr(result, name)
        )
    lines = result.save(tmp_path / 'new' / 'hand.obj').read_text().splitlines()
    vertices = [line.split()[1:] for line in lines if line.startswith('v ')]
    np.testing.assert_allclose(np.array(vertices, float), result.vertices, atol=1e-5)
    assert sum(line.startswith('f ') for line in lines) == 1538
