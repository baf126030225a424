from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgedeploy.foundation.errors import DatasetError, UnknownNameError
from edgedeploy.metrics.registry import find_metric, metric_names
from edgedeploy.values.quality import MetricFigure


def measured(name: str, outputs: list[np.ndarray], labels: np.ndarray | None) -> float:
    accumulator = find_metric(name).start()
    accumulator.add(outputs, labels)
    return accumulator.figure().value


@given(
    scores=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(6, 9)), elements=st.integers(0, 3)),
    data=st.data(),
)
def test_top1_is_argmax_and_top5_a_stable_sort_also_among_equal_scores(scores, data):
    labels = data.draw(hnp.arrays(np.int64, len(scores), elements=st.integers(0, scores.shape[1] - 1)))
    assert measured("top1", [scores], labels) == pytest.approx((scores.argmax(1) == labels).mean())
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert measured("top5", [scores], labels) == pytest.approx((best == labels[:, np.newaxis]).any(1).mean())


def test_batches_add_up():
    accumulator = find_metric("top1").start()
    accumulator.add([np.array([[0.0, 1.0], [1.0, 0.0]])], np.array([1, 1]))
    accumulator.add([np.array([[0.0, 1.0]])], np.array([1]))
    assert accumulator.figure() == MetricFigure(name="top1", value=pytest.approx(2 / 3), samples=3)


def test_a_constant_answer_is_not_right_by_being_first_everywhere():
    assert measured("top1", [np.zeros((4, 4))], np.arange(4)) == 0.25


def test_scores_with_nan_are_wrong():
    assert measured("top1", [np.array([[np.nan, 1.0]])], np.array([1])) == 0.0
    assert measured("top1", [np.array([[np.nan, 1.0]])], np.array([0])) == 0.0


def test_scores_are_found_behind_other_outputs_and_axes_of_length_one():
    assert measured("top1", [np.array([7]), np.array([[[[0.1, 0.9]]]])], np.array([1])) == 1.0


def test_a_sequence_scores_the_share_of_its_steps():
    assert measured("top1", [np.eye(4)[np.newaxis]], np.array([[0, 1, 2, 0]])) == 0.75


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "words"),
    [
        ("top1", [np.eye(2)], None, "needs labels"),
        ("top1", [np.eye(2)], np.array([0, 2]), "a label is 2, expected 0 to 1"),
        ("top1", [np.eye(2)], np.array([0, -1]), "a label is -1"),
        ("top1", [np.eye(2)], np.array([0.0, 1.0]), "whole numbers"),
        ("top1", [np.eye(2)], np.array(["a", "b"]), "whole numbers"),
        ("top1", [np.eye(3)], np.array([0, 1]), "labels have shape (2,)"),
        ("top1", [np.eye(2)], np.eye(2, dtype=np.int64), "labels have shape (2, 2)"),
        ("top1", [np.ones((2, 1))], np.array([0, 1]), "an output of scores"),
        ("top5", [np.eye(5)], np.arange(5), "always 1"),
    ],
)
def test_what_does_not_fit_is_refused(name, outputs, labels, words):
    with pytest.raises(DatasetError) as caught:
        measured(name, outputs, labels)
    assert words in str(caught.value)


def test_no_sample_gives_no_figure():
    with pytest.raises(DatasetError, match="no samples"):
        find_metric("top1").start().figure()


@pytest.fixture
def own_metric(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(expression: str) -> str:
        name = f"metrics_{abs(hash(expression))}"
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\ndef score(outputs, labels): return {expression}\n")
        return f"{name}:score"

    return write


def test_a_function_of_ones_own_gives_a_score_per_sample(own_metric):
    name = own_metric("1 - abs(outputs[0][:, 0] - labels)")
    assert measured(name, [np.array([[0.5], [1.0]])], np.array([1, 1])) == 0.75
    assert find_metric(name).name == name


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0.5", "shape ()"),
        ("np.ones(3)", "shape (3,)"),
        ("np.array([1, np.nan])", "not finite"),
        ("outputs[7]", "IndexError"),
        ("'good'", "ValueError"),
    ],
)
def test_what_a_function_of_ones_own_does_wrong_is_said(own_metric, expression, words):
    with pytest.raises(DatasetError) as caught:
        measured(own_metric(expression), [np.eye(2)], np.arange(2))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["top3", "", "accuracy", "no_such_module:score", "math:pi", "math:none", ":", "a:"])
def test_unknown_metrics(name):
    with pytest.raises(UnknownNameError):
        find_metric(name)


def test_an_unknown_metric_is_answered_with_those_that_there_are():
    assert metric_names()[:2] == ("top1", "top5")
    with pytest.raises(UnknownNameError, match=r"known: top1, top5, .*, or a function"):
        find_metric("top3")


@pytest.mark.parametrize(
    ("labels", "fix"),
    [
        (np.array([[1], [0]]), "save labels[..., 0]"),
        (np.array([[0, 1, 0], [1, 0, 0]]), "save labels.argmax(axis=-1)"),
        (np.array([[0, 1, 0], [1, 0, 0]], np.float32), "save labels.argmax(axis=-1)"),
        (np.array([1.0, 0.0]), "save labels.astype(numpy.int64)"),
        (np.array(["cat", "dog"]), "number the classes in the model's order"),
    ],
)
def test_labels_of_a_common_form_are_refused_with_what_to_do(labels, fix):
    scores = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]], np.float32)
    with pytest.raises(DatasetError) as caught:
        find_metric("top1").start().add([scores], labels)
    assert fix in caught.value.hint
    if "save labels" in fix and "int64" not in fix:
        accumulator = find_metric("top1").start()
        accumulator.add([scores], eval(fix.removeprefix("save "), {"labels": labels}))
        assert accumulator.figure().value == 1.0


# -- labels of text


def test_labels_of_text_are_held_against_the_output_of_text():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    answers = np.array(["cat", "dög", "dög"], object)
    labels = np.array(["cat", "dög", "cat"])
    for outputs in ([answers, scores], [scores, answers], [answers[:, np.newaxis]]):
        score = find_metric("top1").start()
        score.add(outputs, labels)
        assert score.scores().tolist() == [1.0, 1.0, 0.0]


def test_labels_of_text_without_such_an_output_are_refused():
    scores = np.array([[0.9, 0.1]])
    for name, outputs in (("top1", [scores]), ("top5", [np.zeros((1, 9)), np.array(["cat"], object)])):
        with pytest.raises(DatasetError, match="number the classes"):
            find_metric(name).start().add(outputs, np.array(["cat"]))
