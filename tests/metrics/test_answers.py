"""Only what the task names, or plainly is a distribution over classes, has answers."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.metrics.answers import AnswerTally

RNG = np.random.default_rng(5)


def softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(values)
    found: np.ndarray = (powers / powers.sum(axis=axis, keepdims=True)).astype(np.float32)
    return found


def match(output: np.ndarray, *, declared: bool = False, samples: int | None = None) -> float | None:
    tally = AnswerTally()
    tally.add(output, output, len(output) if samples is None else samples, declared=declared)
    return tally.match


VALUES = RNG.standard_normal((4, 10)).astype(np.float32)


@pytest.mark.parametrize(
    "output",
    [
        softmax(VALUES),
        softmax(VALUES).astype(np.float16),
        softmax(VALUES).astype(np.float64),
        np.log(softmax(VALUES)),
        softmax(VALUES)[:, :, None, None],
        softmax(VALUES)[:, None, None, :],
        np.round(softmax(VALUES) * 256) / 256,
        np.eye(4, dtype=np.float32),
    ],
    ids=["softmax", "half", "double", "log", "pooled", "middle", "8 bits", "one-hot"],
)
def test_a_distribution_over_classes_is_known_by_its_values(output: np.ndarray) -> None:
    assert match(output) == 1.0


@pytest.mark.parametrize(
    "output",
    [
        VALUES,
        RNG.random((4, 24, 64)).astype(np.float32),
        softmax(RNG.standard_normal((4, 6, 8))),
        softmax(RNG.standard_normal((4, 3, 8, 8)), axis=1),
        RNG.random((4, 1)).astype(np.float32),
        np.ones((4, 1), np.float32),
        VALUES / np.linalg.norm(VALUES, axis=1, keepdims=True),
        1 / (1 + np.exp(-VALUES)),
        RNG.random((4, 17, 8, 8)).astype(np.float32),
        np.array([1, 2, 3, 4]),
        np.float32(1.0).reshape(()),
        np.zeros((4, 0), np.float32),
    ],
    ids=[
        "logits or features", "detector", "attention", "segmentation", "regressor", "ones", "embedding", "many labels",
        "heatmaps", "class numbers", "one number", "empty",
    ],
)  # fmt: skip
def test_the_shape_alone_says_nothing(output: np.ndarray) -> None:
    assert match(output, samples=4) is None


def test_what_the_task_names_has_answers_along_its_last_axis() -> None:
    assert match(VALUES, declared=True) == 1.0
    assert match(RNG.standard_normal((4, 6, 8)).astype(np.float32), declared=True) == 1.0
    assert match(RNG.standard_normal((4, 1)).astype(np.float32), declared=True) is None


def test_one_sample_that_is_no_distribution_tells_that_none_was_meant() -> None:
    tally = AnswerTally()
    scores = softmax(VALUES)
    tally.add(scores, scores, 4, declared=False)
    assert tally.match == 1.0
    tally.add(VALUES, VALUES, 4, declared=False)
    tally.add(scores, scores, 4, declared=False)
    assert tally.match is None


def test_samples_that_are_not_numbers_tell_nothing_and_match_nothing() -> None:
    tally = AnswerTally()
    tally.add(VALUES * np.nan, VALUES * np.nan, 4, declared=False)
    assert tally.match is None
    tally.add(softmax(VALUES), softmax(VALUES), 4, declared=False)
    assert tally.match == 0.5
