"""The order of calls, and what is made of their times, with a clock that the calls move."""

import numpy as np
import pytest

from benchmarks.timing import Timing, time_in_turns
from tests.facts import raises_naming


class Machine:
    """A clock, and calls that take as long as they are told."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def clock(self):
        return self.now

    def call(self, name, *seconds):
        """A call that takes the given times, one after the other, the last for ever."""
        left = list(seconds)

        def run():
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_every_round_has_a_turn_of_each_and_starts_with_another():
    machine = Machine()
    calls = {name: machine.call(name, 1.0) for name in 'abc'}
    timings = time_in_turns(calls, rounds=3, warm_up=2, clock=machine.clock)
    warm_up, rounds = machine.order[:6], ''.join(machine.order[6:])
    assert warm_up == list('aabbcc')
    assert rounds == 'aabbcc' + 'bbccaa' + 'ccaabb'  # one call that is not counted, one that is
    assert all(timing.rounds == (1.0, 1.0, 1.0) for timing in timings.values())


def test_warm_up_and_first_call_of_a_turn_do_not_count():
    machine = Machine()
    call = machine.call('a', 100, 50, 1, 50, 3, 50, 2)
    timing = time_in_turns({'a': call}, rounds=3, warm_up=1, clock=machine.clock)['a']
    assert timing.rounds == (1, 3, 2)
    assert timing.median == 2
    assert timing.quartiles == (1.5, 2.5)
    assert timing.spread == 0.5


def test_short_calls_repeat_within_a_turn():
    machine = Machine()
    call = machine.call('a', 9, 9, 0.02, 0.01, 0.03, 9)
    timing = time_in_turns({'a': call}, rounds=1, warm_up=1, clock=machine.clock)['a']
    assert timing.rounds == pytest.approx((0.02,))  # of 0.02, 0.01, 0.03: 50 ms are over
    assert len(machine.order) == 5


def test_time_is_limited_after_three_rounds():
    machine = Machine()
    timings = time_in_turns({'a': machine.call('a', 1.0)}, seconds=0.5, clock=machine.clock)
    assert len(timings['a'].rounds) == 3
    timings = time_in_turns({'a': machine.call('a', 1.0)}, seconds=10, clock=machine.clock)
    assert len(timings['a'].rounds) == 5  # two calls of a second each


def test_ratios_are_taken_within_a_round():
    ours, other = Timing((1.0, 2.0, 4.0)), Timing((2.0, 6.0, 8.0))
    assert ours.times_faster_than(other).rounds == (2.0, 3.0, 2.0)
    slow_then_fast = Timing((10.0, 1.0, 10.0))
    twice = Timing(tuple(np.multiply(2, slow_then_fast.rounds)))
    assert slow_then_fast.times_faster_than(twice).spread == 0
    with raises_naming(ValueError, 'argument'):
        ours.times_faster_than(Timing((1.0,)))


def test_nothing_to_time_and_no_rounds():
    assert time_in_turns({}) == {}
    with raises_naming(ValueError, 'rounds', 0, 1):
        time_in_turns({'a': lambda: None}, rounds=0)
