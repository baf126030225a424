"""Which samples and classes lose: counted as they stream by, held to counting them all at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.metrics.registry import find_metric
from edgedeploy.metrics.regressions import ClassAccumulator, broken, with_class_names
from edgedeploy.values.quality import ByClass, ClassFigure, Confusion


def scores_of(answers: list[int], classes: int = 4) -> list[np.ndarray]:
    return [np.eye(classes, dtype=np.float32)[answers]]


def test_the_class_that_lost_most_comes_first() -> None:
    counted = ClassAccumulator()
    labels = np.array([0, 0, 1, 1, 2, 2])
    counted.add(scores_of([0, 0, 0, 0, 2, 0]), scores_of([0, 1, 1, 1, 2, 2]), labels)
    assert counted.figure() == ByClass(
        count=3,
        worst=(
            ClassFigure(label=1, samples=2, reference_right=2, right=0, same=0),
            ClassFigure(label=2, samples=2, reference_right=2, right=1, same=1),
            ClassFigure(label=0, samples=2, reference_right=1, right=2, same=1),
        ),
        confusion=Confusion(classes=(0, 1, 2), counts=((2, 0, 0), (2, 0, 0), (1, 0, 1)), others=False),
    )


def test_classes_are_named_as_the_data_has_them() -> None:
    counted = ClassAccumulator()
    counted.add(scores_of([0, 1, 2]), scores_of([0, 1, 1]), np.array([0, 1, 1]))
    figure = counted.figure()
    named = with_class_names(figure, ("cat", "dog"))
    assert named is not None and named.confusion is not None
    assert {(one.label, one.name) for one in named.worst} == {(0, "cat"), (1, "dog")}
    assert named.confusion.names == ("cat", "dog", "2")
    assert with_class_names(figure, ()) is figure and with_class_names(None, ("cat",)) is None


answers = st.integers(0, 29)


@given(st.lists(st.tuples(answers, answers, answers), min_size=1, max_size=200), st.integers(1, 50))
def test_batches_add_up(drawn: list[tuple[int, int, int]], batch: int) -> None:
    counted = ClassAccumulator()
    reference_metric, metric = find_metric("top1").start(), find_metric("top1").start()
    for begin in range(0, len(drawn), batch):
        labels, expected, found = (list(column) for column in zip(*drawn[begin : begin + batch], strict=True))
        counted.add(scores_of(found, 30), scores_of(expected, 30), np.array(labels))
        reference_metric.add(scores_of(expected, 30), np.array(labels))
        metric.add(scores_of(found, 30), np.array(labels))
    figure = counted.figure()
    assert figure.count == len({label for label, _, _ in drawn})
    assert len(figure.worst) == min(10, figure.count)
    for one in figure.worst:
        of_class = [row for row in drawn if row[0] == one.label]
        assert one.samples == len(of_class)
        assert one.reference_right == sum(label == expected for label, expected, _ in of_class)
        assert one.right == sum(label == found for label, _, found in of_class)
        assert one.same == sum(expected == found for _, expected, found in of_class)
    lost = [one.reference_right - one.right for one in figure.worst]
    assert lost == sorted(lost, reverse=True)

    fell = [place for place, (label, expected, found) in enumerate(drawn) if expected == label != found]
    told = broken(reference_metric.scores(), metric.scores())
    assert (told.count, told.first) == (len(fell), tuple(fell[:20]))


def test_answers_that_are_not_numbers_are_no_class() -> None:
    nothing = [np.full((2, 3), np.nan, np.float32)]
    counted = ClassAccumulator()
    counted.add(nothing, nothing, np.array([0, 2]))
    assert [(one.right, one.same) for one in counted.figure().worst] == [(0, 0), (0, 0)]


def test_steps_count_one_by_one() -> None:
    counted = ClassAccumulator()
    outputs = [np.eye(3, dtype=np.float32)[np.array([[0, 1], [2, 2]])]]
    counted.add(outputs, outputs, np.array([[0, 1], [2, 0]]))
    assert {one.label: (one.samples, one.right) for one in counted.figure().worst} == {0: (2, 1), 1: (1, 1), 2: (1, 1)}


def test_nothing_added_is_nothing() -> None:
    assert ClassAccumulator().figure() == ByClass(count=0, worst=())


def test_what_floating_point_rounds_is_not_broken() -> None:
    assert broken(np.array([0.3, 1.0]), np.array([0.1 + 0.2 - 1e-12, 0.9])).first == (1,)
