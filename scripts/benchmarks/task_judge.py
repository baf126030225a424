"""Hold one result against its float model by the metric of its task, in a process of its own.

Usage: python -m benchmarks.task_judge SOURCE RESULT DATA METRIC [--head KIND] [--on board:NAME]

Prints one JSON object. Judged is exact arithmetic (each QDQ pair computed in float; of TensorFlow Lite its own integer
kernels, without a delegate). Speed is the processor time of one thread, the two models run in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from edgedeploy.datasets.dataset import Dataset, open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import open_session
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.metrics.change import metric_change
from edgedeploy.metrics.metric import MetricAccumulator
from edgedeploy.metrics.registry import chosen_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.guard.host_timing import HostTiming
from edgedeploy.values.head import Head

_SPEED_FEEDS = 4
_RESAMPLES, _CONFIDENCE = 1000, 0.95


def judge(source: Path, result: Path, dataset: Dataset, metric: str, head: Head | None) -> dict[str, object]:
    """Figures of `result`; `error` says why there are none."""
    contents = source.read_bytes(), result.read_bytes()
    format = format_of(contents[0])
    try:
        reference, candidate = (open_session(content, format, exact=True, threads=1) for content in contents)
    except EdgedeployError as error:
        return {"loads": False, "error": error.why or error.what}
    judged_by = chosen_metric(metric, head, dataset, reference.output_names)
    before, after, agreement = judged_by.start(), judged_by.start(), AgreementAccumulator()
    same_shapes = True
    try:
        for sample in dataset.samples():
            expected, found = reference.run(sample.feed), candidate.run(sample.feed)
            before.add(expected, sample.labels, sample.feed)
            after.add(found, sample.labels, sample.feed)
            same_shapes &= all(left.shape == right.shape for left, right in zip(expected, found, strict=True))
            if same_shapes:
                agreement.add(found, expected, scored=None)
        feeds = [sample.feed for sample in itertools.islice(dataset.samples(), _SPEED_FEEDS)]
        speed = HostTiming().compare(*contents, feeds)
    except EdgedeployError as error:
        return {"loads": True, "error": str(error)}
    change = metric_change(before, after)
    return {
        "loads": True,
        "samples": before.samples,
        "larger_is_better": before.larger_is_better,
        "metric_float": before.figure().value,
        "interval_float": interval(before),
        "metric": after.figure().value,
        "change": [change.value, change.low, change.high],
        "sqnr_db": agreement.figure().sqnr_db if same_shapes else None,
        "ratio": speed.ratio,
        "ratio_interval": [speed.low, speed.high],
        "slower": speed.slower,
    }


def interval(metric: MetricAccumulator) -> list[float]:
    """The 95 % percentile interval of a metric: it is computed again over samples drawn with replacement (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3)."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, metric.samples, metric.samples)
        found.append(metric.compute(np.bincount(drawn, minlength=metric.samples).astype(np.float64)))
    tail = (1 - _CONFIDENCE) / 2
    finite = np.array([value for value in found if np.isfinite(value)])
    return [float(bound) for bound in np.quantile(finite, [tail, 1 - tail])]


def guest_instructions(address: str, source: Path, result: Path, dataset: Dataset) -> dict[str, object]:
    """Instructions of both models on an emulated board, per inference."""
    from edgedeploy.workflows.judges import speed_judge

    feeds = [sample.feed for sample in itertools.islice(dataset.samples(), _SPEED_FEEDS)]
    with speed_judge(address) as speed:
        figure = speed.compare(source.read_bytes(), result.read_bytes(), feeds)
    return {"instructions_float": figure.source, "instructions": figure.result, "instructions_ratio": figure.ratio}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.task_judge", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("data")
    parser.add_argument("metric")
    parser.add_argument("--head", metavar="KIND", help="where the data does not declare it")
    parser.add_argument("--on", metavar="board:NAME", help="count instructions on this emulated board too")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data, inspect_model(arguments.source).inputs)
    head = Head(kind=arguments.head) if arguments.head else None
    figures = judge(arguments.source, arguments.result, dataset, arguments.metric, head)
    if arguments.on and "error" not in figures:
        figures |= guest_instructions(arguments.on, arguments.source, arguments.result, dataset)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
