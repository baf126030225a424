"""Find the Pareto front of a search's trials, and the best trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgedeploy.stats.rounding import at_most
from edgedeploy.values.search import Objective, Trial

_Z_95, _Z_80 = 1.96, 0.8416
"""Quantiles of the normal distribution: two-sided 95 %, one-sided 80 %."""
_AS_GOOD = 0.04
"""Sizes or speeds that differ by less are as good as each other."""


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other beats: none is as good in size, loss and speed and better in one of them.

    Trials that were refused do not count. One whose speed was not measured stands with a ratio of 1, as the float
    model: it is neither preferred nor beaten for it. (V. Pareto's order; H. T. Kung et al., On Finding the Maxima of a
    Set of Vectors, JACM 1975.)

    Returns:
        Them, the smallest first.
    """
    judged = sorted((trial for trial in trials if trial.size_bytes is not None), key=lambda trial: _figures(trial))
    return [trial for trial in judged if not any(_beats(other, trial) for other in judged)]


def rank(trial: Trial, objective: Objective, source_size_bytes: int) -> tuple[float, float, float]:
    """Return the sort key of a trial: what is minimized, and what decides between trials that are as good.

    `size`: bytes relative to the model's. `speed`: time or instructions relative to the model's. `balanced`: their
    geometric mean, so that a half of one is worth as much as a half of the other. Between trials that differ by no more
    than a few per cent the one closer to the float model's outputs comes first: that is worth more, and the search's
    samples show losses of whole answers only.
    """
    reached, other = _reached(trial, objective, source_size_bytes)
    noise_db = -trial.sqnr_db if trial.sqnr_db is not None else -math.inf
    return round(math.log(reached) / math.log(1 + _AS_GOOD)), noise_db, other


def holds_beyond_doubt(trial: Trial, allowed: float) -> bool:
    """Return whether the fall of the metric is within the budget with a confidence of 80 %, one-sided, too.

    The best of many trials is likely one that was lucky, and more so the more answers it changed: what lies within the
    budget by one sample's luck does not on other data. The standard error is taken from the bootstrap's 95 % interval;
    where no answer changed, there is nothing that luck had a part in. Without labels the budget bounds the answers that
    change, which is more than luck needs; the noise of outputs without answers hangs little on the samples.
    """
    if trial.change is None or not trial.change.samples_changed:
        return True
    error = (trial.change.most_loss - trial.change.loss) / _Z_95
    return at_most(trial.loss + _Z_80 * error, allowed)


def _reached(trial: Trial, objective: Objective, source_size_bytes: int) -> tuple[float, float]:
    size = (trial.size_bytes or source_size_bytes) / source_size_bytes
    speed = trial.speed.ratio if trial.speed is not None else 1.0
    if objective == "size":
        return size, speed
    if objective == "speed":
        return speed, size
    return math.sqrt(size * speed), size


def _figures(trial: Trial) -> tuple[float, float, float]:
    return (
        float(trial.size_bytes or 0),
        max(trial.loss, 0.0),
        trial.speed.ratio if trial.speed is not None else 1.0,
    )


def _beats(other: Trial, trial: Trial) -> bool:
    better, worse = _figures(other), _figures(trial)
    return better != worse and all(a <= b for a, b in zip(better, worse, strict=True))
