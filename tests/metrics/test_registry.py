"""Every metric that has facts is there, and its direction is theirs."""

from __future__ import annotations

import pytest

from edgedeploy.metrics.registry import find_metric, metric_names
from edgedeploy.values.head import Head
from edgedeploy.values.metric_facts import METRIC_FACTS, is_share_metric, metric_facts, reads_scores

HEADS = {"ctc-cer": Head(kind="ctc", options={"alphabet": "ab"})}


@pytest.mark.parametrize("name", metric_names())
def test_each_is_found_with_the_direction_of_its_facts(name):
    metric = find_metric(name, HEADS.get(name, Head(kind="yolov8")))
    assert (metric.name, metric.larger_is_better) == (name, METRIC_FACTS[name].larger_is_better)
    assert metric.start().name == name


def test_recall_takes_any_k():
    assert find_metric("recall@37").name == "recall@37"
    assert is_share_metric("recall@37") and not is_share_metric("rmse")
    assert metric_facts("recall@0") is None and metric_facts("recall@x") is None
    assert reads_scores("f1") and not reads_scores("map") and not reads_scores(None)
