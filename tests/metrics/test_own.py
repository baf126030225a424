"""Metrics of the user's own: functions, with inputs or without, and classes."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.metrics.change import metric_change
from edgedeploy.metrics.registry import find_metric

CODE = """
    import numpy as np

    def near(outputs, labels, inputs):
        return -abs(outputs[0] - inputs["x"]).mean(axis=1)

    def error(outputs, labels):
        return abs(outputs[0][:, 0] - labels)
    error.larger_is_better = False

    class Rms:
        larger_is_better = False
        def __init__(self):
            self.squares = []
        def update(self, outputs, labels):
            self.squares += list((outputs[0][:, 0] - labels) ** 2)
        def compute(self, weights=None):
            return np.sqrt(np.average(self.squares, weights=weights))

    class Seen(Rms):
        def per_sample(self):
            return self.squares

    class Short(Rms):
        def per_sample(self):
            return [1.0]

    def made():
        return Rms()

    class NoWeights(Rms):
        def compute(self):
            return 0.0

    class NoUpdate:
        def compute(self, weights=None):
            return 0.0
"""


@pytest.fixture
def ours(tmp_path, monkeypatch):
    (tmp_path / "our_field_metrics.py").write_text(textwrap.dedent(CODE), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name: find_metric(f"our_field_metrics:{name}")


def test_a_function_may_ask_for_the_inputs(ours):
    metric = ours("near").start()
    metric.add([np.ones((2, 3))], np.zeros(2), {"x": np.zeros((2, 3))})
    assert metric.figure().value == -1.0


def test_a_function_may_say_that_smaller_is_better(ours):
    metric = ours("error").start()
    metric.add([np.array([[1.0], [3.0]])], np.zeros(2))
    figure = metric.figure()
    assert (figure.value, figure.larger_is_better) == (2.0, False)
    assert metric.scores().tolist() == [-1.0, -3.0]


@pytest.mark.parametrize("name", ["Rms", "made", "Seen"])
def test_a_class_is_computed_again_for_each_resample(ours, name, rng):
    labels = rng.normal(size=50)
    before, after = ours(name).start(), ours(name).start()
    before.add([labels[:, np.newaxis] + 0.1], labels)
    after.add([labels[:, np.newaxis] + rng.normal(0.3, 0.05, (50, 1))], labels)
    change = metric_change(before, after)
    assert 0.0 < change.low < change.value < change.high < 0.4
    assert (before.scores() is None) == (name != "Seen")
    if name != "made":
        assert change.loss == change.value


@pytest.mark.parametrize(
    ("name", "words"), [("NoWeights", "takes no argument weights"), ("NoUpdate", "has no method update")]
)
def test_a_class_that_lacks_something_is_refused_before_anything_runs(ours, name, words):
    with pytest.raises(UnsupportedError, match=words):
        ours(name).start()


def test_what_a_class_does_wrong_is_said(ours):
    metric = ours("Short").start()
    with pytest.raises(DatasetError, match="our_field_metrics:Short failed"):
        metric.add([], np.zeros(2))
    metric.add([np.zeros((2, 1))], np.zeros(2))
    with pytest.raises(UnsupportedError, match=r"per_sample .* shape \(1,\)"):
        metric.scores()
