"""Large pictures in tiles: nothing is lost, doubled or cut at the borders of tiles."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from scipy import ndimage

from fastvit_dense import load_model
from fastvit_dense.errors import ConfigError
from fastvit_dense.inference.tiles import TiledPredictor, starts, tile_rows
from fastvit_dense.results.instance import InstanceResult
from fastvit_dense.tasks.config import load_config
from fastvit_dense.tasks.tiles import label_tiles, merge_instances
from tests.facts import raises_naming

CLASSES = ('red', 'green')


@pytest.mark.parametrize(
    ('length', 'size'), [(100, 100), (101, 100), (1000, 256), (257, 64), (5, 9)]
)
@pytest.mark.parametrize('overlap', [0, 0.25, 0.5])
def test_tiles_cover_a_side(length, size, overlap):
    found = starts(length, size, overlap)
    assert found[0] == 0
    assert max(found) + size >= length
    assert all(start + size <= max(length, size) for start in found)
    for one, other in pairwise(found):
        assert size - (other - one) >= int(size * overlap) - 1
    rows = tile_rows(length, 2 * length, size, overlap)
    assert {tile[1] for row in rows for tile in row} == set(found)


def find_objects(picture):
    """A detector by colour: connected pixels, scored by their share of the picture."""
    boxes, scores, labels, rles = [], [], [], []
    for label in range(2):
        parts, count = ndimage.label(picture[..., label] > 200)
        for number, place in enumerate(ndimage.find_objects(parts), start=1):
            mask = parts == number
            boxes.append([place[1].start, place[0].start, place[1].stop, place[0].stop])
            scores.append(0.5 + 0.5 * mask.mean())
            labels.append(label)
            rles.append(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))
        assert count == len(ndimage.find_objects(parts))
    return InstanceResult(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
        rles,
        CLASSES,
        picture,
    )


def scene(seed, height=300, width=420):
    """Boxes, discs and long bars that no two touch; many are cut by tiles, some by several."""
    generator = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.uint8)
    taken = np.zeros((height, width), bool)
    rows, columns = np.mgrid[:height, :width]
    for number in range(25):
        y, x = generator.integers(0, [height, width])
        h, w = generator.integers(6, 40, 2) if number else (8, 350)
        shape = (abs(rows - y) <= h) & (abs(columns - x) <= w)
        if number % 2:
            shape = ((rows - y) / h) ** 2 + ((columns - x) / h) ** 2 <= 1
        if not (ndimage.binary_dilation(shape, iterations=3) & taken).any():
            taken |= shape
            picture[shape, number % 2] = 255
    return picture


@pytest.mark.parametrize('overlap', [0.2, 0.5])
@pytest.mark.parametrize('seed', range(6))
def test_objects_are_those_of_the_whole_picture(seed, overlap):
    picture = scene(seed)
    whole = find_objects(picture)
    tiles = [tile for row in tile_rows(*picture.shape[:2], 96, overlap) for tile in row]
    found = [find_objects(picture[t:b, x:r]) for x, t, r, b in tiles]
    assert sum(map(len, found)) > len(whole) > 5
    merged = merge_instances(found, tiles, picture)

    def order(result):
        return sorted(
            (*box, label, code['counts'])
            for box, label, code in zip(
                result.boxes.tolist(), result.labels.tolist(), result.rles, strict=True
            )
        )

    assert order(merged) == order(whole)
    assert (np.diff(merged.scores) <= 0).all()


def test_pictures_without_objects():
    picture = np.zeros((200, 200, 3), np.uint8)
    tiles = [tile for row in tile_rows(200, 200, 96, 0.25) for tile in row]
    found = [find_objects(picture[t:b, x:r]) for x, t, r, b in tiles]
    merged = merge_instances(found, tiles, picture)
    assert merged.boxes.shape == (0, 4)
    assert merged.rles == []


@pytest.mark.parametrize('channels', [1, 3])
def test_scores_of_pixels_are_those_of_the_whole_picture(channels):
    """Where tiles agree, blending changes nothing, whatever the weights."""
    scores = torch.rand(channels, 130, 210, generator=torch.Generator().manual_seed(0))
    rows = tile_rows(130, 210, 64, 0.3)
    parts = ((row, [scores[:, t:b, x:r] for x, t, r, b in row]) for row in rows)
    expected = scores.argmax(0) if channels > 1 else scores[0] > 0.5
    found = label_tiles(parts, (130, 210), ramp=20)
    np.testing.assert_array_equal(found, expected.numpy())


def test_scores_are_blended():
    """Two tiles that disagree: the border lies in the middle of what they share."""
    rows = tile_rows(32, 52, 32, 0.3)
    assert rows == [[(0, 0, 32, 32), (20, 0, 52, 32)]]
    first = torch.tensor([1.0, 0.0])[:, None, None].expand(2, 32, 32)
    parts = [(rows[0], [first, first.flip(0)])]
    labels = label_tiles(parts, (32, 52), ramp=12)
    assert (labels[:, :26] == 0).all()
    assert (labels[:, 26:] == 1).all()


@pytest.mark.integration
@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_models_in_tiles(request, task, photo):
    """One tile is the whole picture; with several there is a result of the picture's size."""
    names = {'instance': 'trained', 'semantic': 'trained_semantic'}
    config = request.getfixturevalue(f'tiny_{task}')
    model = load_model(config, request.getfixturevalue(names[task]))
    one, whole = TiledPredictor(model, 300).predict(photo), model(photo)
    result = TiledPredictor(model, 96, 0.25).predict(photo, batch_size=4)
    height, width = photo.shape[:2]
    if task == 'semantic':
        np.testing.assert_array_equal(one.labels, whole.labels)
        assert result.labels.shape == (height, width)
        return
    np.testing.assert_array_equal(one.boxes, whole.boxes)
    assert (result.boxes >= 0).all()
    assert (result.boxes <= [width, height, width, height]).all()
    assert result.masks.shape == (len(result), height, width)
    assert result.to_dict()['instances'][0]['category_id'] in model.category_ids


@pytest.mark.integration
def test_labels_do_not_depend_on_tiles(tiny_semantic, random_semantic, photo):
    """Neither resized as a whole nor in tiles, and seen with enough of what is around."""
    cfg = load_config(tiny_semantic, pretrained=False)
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackSegInputs'),
    ]
    model = load_model(cfg, random_semantic)
    picture = np.ascontiguousarray(np.tile(photo[:128, :192], (2, 2, 1)))
    whole = model(picture).labels
    tiled = TiledPredictor(model, 192, 0.5).predict(picture).labels
    assert len(np.unique(whole)) > 1
    assert (tiled == whole).mean() > 0.8


@pytest.mark.integration
def test_what_does_not_work(tiny_hand, random_hand, photo):
    model = load_model(tiny_hand, random_hand)
    with raises_naming(ConfigError, '--tiles', 'hand'):
        TiledPredictor(model, 64).predict(photo)
    with raises_naming(ConfigError, '--tiles 8', '32 pixels'):
        TiledPredictor(model, 8)
    with raises_naming(ConfigError, '--overlap 1', '0.9'):
        TiledPredictor(model, 64, 1)
