"""Batches give what one picture after another gives, in their order, from a window of them."""

import numpy as np
import pytest

from fastvit_dense import load_model
from fastvit_dense.errors import ImageError
from fastvit_dense.inference.batches import groups_of_one_shape, read_ahead
from fastvit_dense.results.instance import InstanceResult
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
SIZES = ((90, 120), (120, 90), (90, 120), (61, 200), (90, 121), (33, 40), (120, 90))


@pytest.fixture(scope='module', params=['instance', 'semantic', 'hand'])
def model(request):
    checkpoint = {'instance': 'trained', 'semantic': 'trained_semantic', 'hand': 'random_hand'}
    config = request.getfixturevalue(f'tiny_{request.param}')
    return load_model(config, request.getfixturevalue(checkpoint[request.param]))


@pytest.fixture(scope='module')
def pictures(photo):
    return [np.ascontiguousarray(photo[: h % 140 + 1, : w % 190 + 1]) for h, w in SIZES]


def assert_close(one, other):
    """Equal to the tolerance of floats; instances of equal scores may stand in either order."""
    assert type(one) is type(other)
    if isinstance(one, InstanceResult):
        assert len(one) == len(other)
        np.testing.assert_allclose(other.scores, one.scores, rtol=1e-3, atol=1e-4)
        apart = np.abs(one.boxes[:, None] - other.boxes[None]).max(2)
        apart[one.labels[:, None] != other.labels[None]] = np.inf
        assert (apart.min(1) < 0.05).mean() >= 0.98
        return
    for name, value in vars(one).items():
        if not isinstance(value, np.ndarray):
            continue
        found = getattr(other, name)
        assert found.shape == value.shape, name
        if value.dtype.kind == 'f':
            np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            assert (found == value).mean() >= 0.999, name


@pytest.mark.parametrize('batch_size', [3, 8])
def test_batches_are_pictures_one_by_one(model, pictures, batch_size):
    expected = [model(picture) for picture in pictures]
    seen = []
    step = model.model.test_step
    model.model.test_step = lambda batch: seen.append(len(batch['inputs'])) or step(batch)
    try:
        found = model(pictures, batch_size=batch_size)
    finally:
        del model.model.test_step
    assert sum(seen) == len(pictures)
    assert max(seen) > 1
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert_close(one, other)


def test_stream_takes_pictures_as_they_are_needed(model, pictures, tmp_path):
    taken = []

    def source():
        for number, picture in enumerate(pictures * 3):
            taken.append(number)
            yield picture

    stream = model.stream(source(), batch_size=2)
    assert not taken
    for number in range(6):
        result = next(stream)
        assert result.image.shape == pictures[number].shape
        assert len(taken) <= number + 5  # two windows, and the one that is read ahead
    stream.close()


def test_bad_pictures_stop_a_stream_and_not_pairs(model, pictures, tmp_path):
    (tmp_path / 'bad.jpg').write_bytes(b'nothing')
    given = [pictures[0], tmp_path / 'bad.jpg', pictures[1]]
    found = list(model.pairs(given, batch_size=2))
    assert [isinstance(result, ImageError) for _, result in found] == [False, True, False]
    assert found[1][0] is given[1]
    with raises_naming(ImageError, tmp_path / 'bad.jpg'):
        model(given)


def test_moves_and_folds_itself(model, pictures):
    import copy

    folded = copy.copy(model)
    folded.model = copy.deepcopy(model.model)
    assert folded.to('cpu').fuse() is folded
    assert_close(model(pictures[0]), folded(pictures[0]))


def test_groups_keep_places():
    shapes = [(3, 2, 2), [3, 4, 2], [3, 2, 2]]
    assert list(groups_of_one_shape(shapes)) == [[0, 2], [1]]


def test_window_is_read_by_threads_in_order():
    windows = list(read_ahead(range(7), lambda number: number * number, 3))
    assert [window for window, _ in windows] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [n for _, found in windows for n in found] == [n * n for n in range(7)]
    assert list(read_ahead([], str, 3)) == []
