"""How a metric changed between two computations over the same samples, and how sure that is."""

from __future__ import annotations

import numpy as np
from msgspec import structs

from edgedeploy.metrics.metric import MetricAccumulator
from edgedeploy.stats.bootstrap import paired_change, resampled_change
from edgedeploy.values.metric_facts import is_share_metric
from edgedeploy.values.quality import MetricChange


def metric_change(before: MetricAccumulator, after: MetricAccumulator) -> MetricChange:
    """Return the change of a metric, with a confidence interval from the paired bootstrap.

    Args:
        before, after: computations of one metric, over the same samples in the same order.
    """
    scores = before.scores(), after.scores()
    if before.is_mean and scores[0] is not None and scores[1] is not None:
        sign = 1.0 if before.larger_is_better else -1.0
        change = paired_change(sign * scores[0], sign * scores[1])
    else:
        changed = before.changed(after)
        change = resampled_change(
            before.compute,
            after.compute,
            before.samples,
            numbers=max(before.numbers, after.numbers),
            changed=None if changed is None else int(np.count_nonzero(changed)),
            step=_step(before, *scores),
        )
    return structs.replace(change, larger_is_better=before.larger_is_better)


def _step(metric: MetricAccumulator, before: np.ndarray | None, after: np.ndarray | None) -> float:
    """Return by how much one sample's answer may change at most, as far as that is known."""
    if is_share_metric(metric.name):
        return 1.0
    if before is not None and after is not None:
        moved = float(np.abs(after - before).max(initial=0.0))
        if moved:
            return moved
        if before.size and before.max() > before.min():
            return float(before.max() - before.min())
    return abs(metric.compute()) or 1.0
