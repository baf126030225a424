"""Samples on their way: none is lost with a connection, and none is given out by two."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.datasets.base import Sample
from edgedeploy.measure.sample_queue import SampleQueue


def samples(count: int) -> list[Sample]:
    return [Sample(feed={"x": np.array([place])}, size=1, labels=None) for place in range(count)]


@given(st.integers(0, 20), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=8))
def test_every_sample_is_answered_once_and_in_order(count: int, turns: list[tuple[int, int]]) -> None:
    given_out = samples(count)
    queue = SampleQueue(given_out)
    answered: list[Sample] = []
    for sent, back in turns:
        on_their_way = list(itertools.islice(queue.turn(), sent))
        for sample in on_their_way[:back]:
            queue.answered()
            answered.append(sample)
    for sample in queue.turn():
        queue.answered()
        answered.append(sample)
    assert [each.feed["x"].item() for each in answered] == list(range(count))


def test_a_turn_that_is_over_takes_nothing_more() -> None:
    queue = SampleQueue(samples(3))
    first = queue.turn()
    next(first)
    second = queue.turn()
    assert list(first) == []
    assert [each.feed["x"].item() for each in second] == [0, 1, 2]
