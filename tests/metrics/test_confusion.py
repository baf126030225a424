"""Confusion matrices, counted as samples stream by and held to counting them one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.metrics.confusion import ConfusionAccumulator
from edgedeploy.values.quality import Confusion

classes = st.integers(0, 20)


@given(st.lists(st.tuples(classes, st.integers(-1, 20)), min_size=1, max_size=200), st.integers(1, 50))
def test_every_answer_has_its_cell(drawn: list[tuple[int, int]], batch: int) -> None:
    counted = ConfusionAccumulator()
    for begin in range(0, len(drawn), batch):
        labels, found = (np.array(column) for column in zip(*drawn[begin : begin + batch], strict=True))
        counted.add(labels, found)
    figure = counted.figure()
    assert figure is not None
    occurring = {label for label, _ in drawn} | {answer for _, answer in drawn if answer >= 0}
    assert len(figure.classes) == min(12, len(occurring))
    assert figure.others == (len(occurring) > 12 or any(answer < 0 for _, answer in drawn))
    expected: dict[tuple[int, int], int] = {}
    places = {each: place for place, each in enumerate(figure.classes)}
    for label, answer in drawn:
        cell = places.get(label, len(places)), places.get(answer, len(places))
        expected[cell] = expected.get(cell, 0) + 1
    size = len(places) + figure.others
    assert figure.counts == tuple(
        tuple(expected.get((row, column), 0) for column in range(size)) for row in range(size)
    )


def test_the_classes_in_most_wrong_answers_are_shown() -> None:
    counted = ConfusionAccumulator()
    labels = np.repeat(np.arange(30), 10)
    found = labels.copy()
    found[250:255] = 3  # half of class 25
    counted.add(labels, found)
    figure = counted.figure()
    assert figure is not None and {3, 25} <= set(figure.classes) and figure.others
    at = figure.classes.index
    assert figure.counts[at(25)][at(3)] == 5 and figure.counts[at(3)][at(3)] == 10
    assert figure.counts[-1][-1] == 180


def test_nothing_is_drawn_of_no_labels_and_of_a_vocabulary() -> None:
    counted = ConfusionAccumulator()
    assert counted.figure() is None
    counted.add(np.array([1]), np.array([1]))
    assert counted.figure() == Confusion(classes=(1,), counts=((1,),), others=False)
    counted.add(np.array([50_000]), np.array([3]))
    assert counted.figure() is None
