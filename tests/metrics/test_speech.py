"""Error rates of transcripts, against jiwer over all samples together."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.metrics.registry import find_metric
from edgedeploy.values.head import Head

LABELS = ("the quick brown fox", "jumps over", "the lazy dog", "", "again")
FOUND = np.array(["the quick browne fox", "jumps", "a lazy old dog", "noise", ""], object)


@pytest.mark.parametrize(("name", "rate"), [("wer", jiwer.wer), ("cer", jiwer.cer)])
def test_rates_are_those_of_jiwer_over_resampled_samples_too(name, rate, rng):
    labels, found = LABELS[:3], FOUND[:3]
    metric = find_metric(name).start()
    metric.add([found], labels)
    assert metric.figure().value == pytest.approx(rate(list(labels), list(found)))
    assert not metric.figure().larger_is_better
    weights = np.array([2, 0, 1])
    drawn = np.repeat(np.arange(3), weights)
    assert metric.compute(weights) == pytest.approx(rate([labels[i] for i in drawn], [found[i] for i in drawn]))


def test_the_worked_example_of_jiwer():
    # https://jitsi.github.io/jiwer/usage/
    metric = find_metric("wer").start()
    metric.add([np.array(["hello duck"], object)], ("hello world",))
    assert metric.figure().value == 0.5


def test_empty_transcripts_are_counted():
    metric = find_metric("wer").start()
    metric.add([FOUND], LABELS)
    assert metric.scores().tolist() == [-1.0, -1.0, -2.0, -1.0, -1.0]
    assert metric.figure().value == pytest.approx(6 / 10)


def test_what_a_ctc_model_says():
    head = Head(kind="ctc", options={"alphabet": "abc"})
    metric = find_metric("ctc-cer", head).start()
    metric.add([np.eye(4)[[[1, 0, 2, 2], [3, 3, 0, 3]]]], ("ab", "cb"))
    assert metric.figure().value == 1 / 4
    with pytest.raises(UnsupportedError, match="alphabet"):
        find_metric("ctc-cer")
    with pytest.raises(DatasetError, match="finds no output of text"):
        find_metric("wer").start().add([np.zeros((1, 2))], ("a",))
    with pytest.raises(DatasetError, match="needs texts"):
        find_metric("wer").start().add([FOUND[:1]], np.zeros(1))
