"""Parts of a call with a clock that the parts move, and of real predictions."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.parts import TimedPredictor
from fastvit_dense.inference.predictor import load_model
from fastvit_dense.inference.timing import PARTS, PartClock
from tests.facts import raises_naming


class Machine:
    def __init__(self):
        self.now = 0.0

    def work(self, seconds, result=None):
        self.now += seconds
        return result


def test_a_part_inside_another_is_not_the_others():
    machine = Machine()
    clock = PartClock('cpu', lambda: machine.now)
    owner = SimpleNamespace(inner=SimpleNamespace(call=lambda: machine.work(2, 'found')))

    def outer(x, *, y):
        machine.work(1)
        found = owner.inner.call()
        machine.work(4)
        return found, x, y

    owner.outer = outer
    clock.watch(owner, 'outer', 'network')
    clock.watch(owner, 'inner.call', 'post-processing')
    with clock.part('other'):
        machine.work(8)
        assert owner.outer(1, y=2) == ('found', 1, 2)
        machine.work(16)
    assert clock.seconds == {'other': 24, 'network': 5, 'post-processing': 2}


def test_an_error_ends_the_parts_it_passes():
    machine = Machine()
    clock = PartClock('cpu', lambda: machine.now)

    def fails():
        machine.work(1)
        raise ValueError('bad')

    owner = SimpleNamespace(fails=fails)
    clock.watch(owner, 'fails', 'network')
    with clock.part('other'):
        with raises_naming(ValueError, 'bad'):
            owner.fails()
        machine.work(2)
    assert clock.seconds == {'network': 1, 'other': 2}


@pytest.mark.integration
@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_predictions_stay_and_every_part_takes_time(task, request, sample_data):
    predictor = load_model(request.getfixturevalue(f'tiny_{task}'), None, 'cpu')
    picture = next((sample_data / 'coco/val2017').glob('*.jpg'))
    expected = predictor(picture)
    timed = TimedPredictor(predictor, 'cpu')
    found = timed(picture)
    assert found.to_dict() == expected.to_dict()
    assert np.array_equal(found.image, expected.image)
    timed(picture)
    assert len(timed.calls) == 2
    for call in timed.calls:
        assert set(call) == set(PARTS)
        assert all(seconds > 0 for seconds in call.values())
    assert max(timed.input) == 96
    medians = timed.medians()
    assert medians['network'] == np.median([call['network'] for call in timed.calls])
    assert medians['network'] > medians['decode']
