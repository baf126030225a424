"""Whether a result is slower than its source, in the currency that it is judged by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

from edgedeploy.inference.session import Feed
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.guard.result import Findings, ViolationKind
from edgedeploy.stats.rounding import beside_limit
from edgedeploy.values.speed import SpeedFigure

_FEEDS = 4


class SpeedJudge(Protocol):
    """Compares two models in one currency. Keeps what it measured of the source, which is the same many times."""

    def compare(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> SpeedFigure:
        """Measure both models on the same feeds.

        Args:
            source, candidate: serialized models.
            feeds: one sample each; at least one.

        Raises:
            ResultFailedError: the candidate does not load or run where speed is judged.
            EdgedeployError: the source does not, or nothing can be judged there.
        """


def judge_speed(
    speed: SpeedJudge | None,
    source: bytes,
    result: bytes,
    evaluation: Evaluation,
    findings: Findings,
    unjudged: str = "",
) -> SpeedFigure | None:
    """Compare the result's speed with the source's on a few samples.

    Args:
        unjudged: why nobody judges speed, where `speed` is None.

    Returns:
        The figure; None when nobody judges speed, which is noted, or the result does not run there, which is a
        violation.

    Raises:
        EdgedeployError: the source does not run there, or nothing can be judged there.
    """
    if speed is None:
        findings.note(unjudged_in_words(unjudged))
        return None
    evaluation.progress.step("comparing the speed with the float model's")
    feeds = [sample.feed for sample in itertools.islice(evaluation.data.samples(), _FEEDS)]
    try:
        figure = speed.compare(source, result, feeds)
    except ResultFailedError as error:
        findings.violate(ViolationKind.DOES_NOT_RUN, f"the result does not run where its speed is judged: {error}")
        return None
    if figure.slower:
        findings.violate(ViolationKind.SLOWER, f"the result is slower than the float model: {slower_in_words(figure)}")
    elif figure.limit is not None and figure.ratio > figure.limit:
        findings.note(
            f"the result may be slower than the float model, which is not sure: {figure.ratio:.2f} times its "
            f"{figure.currency} ({figure.low:.2f} to {figure.high:.2f}; {figure.where})"
        )
    return figure


def slower_in_words(figure: SpeedFigure) -> str:
    """Return `"1.12 times its host time (1.08 to 1.15, over 1.03; this machine: x86-64 avx2, 1 thread)"`."""
    low, over = f"{figure.low:.2f}", ""
    if figure.limit is not None:
        low, limit = beside_limit(figure.low, figure.limit, decimals=2)
        over = f", over {limit}"
    return f"{figure.ratio:.2f} times its {figure.currency} ({low} to {figure.high:.2f}{over}; {figure.where})"


def unjudged_in_words(why: str) -> str:
    """Return the note that speed was not judged, and why."""
    return f"speed was not judged: {why}" if why else "speed was not judged"
