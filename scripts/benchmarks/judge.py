"""Hold one optimized model against its float model, in a process of its own: a model that crashes takes nothing along.

Usage: python -m benchmarks.judge SOURCE RESULT EVALUATION METRIC [--limit N] [--stream FILE] [--on board:NAME]

Prints one JSON object. What is judged is exact arithmetic (each QDQ pair evaluated in float); this machine's integer
kernels stand beside it. Runs each sample alone. Speed is the processor time of one thread, the two models run in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from wild.sounds import stream_f1

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.metrics.classification import scored_output
from edgedeploy.metrics.registry import find_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.guard.host_timing import HostTiming
from edgedeploy.values.metric_facts import reads_scores

_SPEED_FEEDS = 4


def judge(source: Path, result: Path, evaluation: Path, metric: str, limit: int | None) -> dict[str, object]:
    """Figures of `result`; `error` says why there are none."""
    try:
        exact, host = (HostSession(result, exact=arithmetic, threads=1) for arithmetic in (True, False))
    except EdgedeployError as error:
        return {"loads": False, "error": error.why or error.what}
    dataset = open_dataset(str(evaluation), inspect_model(source).inputs)
    reference = HostSession(source, exact=False, threads=1)
    scores = {name: find_metric(metric).start() for name in ("float", "exact", "host")}
    agreement = AgreementAccumulator()
    try:
        for sample in itertools.islice(dataset.samples(), limit):
            expected, found = reference.run(sample.feed), exact.run(sample.feed)
            scores["float"].add(expected, sample.labels)
            scores["exact"].add(found, sample.labels)
            scores["host"].add(host.run(sample.feed), sample.labels)
            agreement.add(found, expected, scored=scored_output(expected) if reads_scores(metric) else None)
        feeds = [sample.feed for sample in itertools.islice(dataset.samples(), _SPEED_FEEDS)]
        speed = HostTiming().compare(source.read_bytes(), result.read_bytes(), feeds)
    except EdgedeployError as error:
        return {"loads": True, "error": str(error)}
    agreed = agreement.figure()
    return {
        "loads": True,
        "samples": agreed.samples,
        **{f"metric_{name}": score.figure().value for name, score in scores.items()},
        "top1_match": agreed.top1_match,
        "sqnr_db": agreed.sqnr_db,
        "ratio": speed.ratio,
        "ratio_interval": [speed.low, speed.high],
        "slower": speed.slower,
    }


def in_a_stream(source: Path, result: Path, recording: Path) -> dict[str, object]:
    """F1 of both models with their own states, in exact arithmetic."""
    with np.load(recording) as file:
        stream = {name: file[name] for name in file.files}
    scores = {}
    for name, path in (("float", source), ("exact", result)):
        session = HostSession(path, exact=True, threads=1)
        try:
            scores[f"stream_{name}"] = stream_f1(session.run, session.input_names, stream)
        except EdgedeployError as error:
            return {"error": f"in a stream: {error}"}
    return dict(scores)


def guest_instructions(address: str, source: Path, result: Path, evaluation: Path) -> dict[str, object]:
    """Instructions of both models on an emulated board, per inference."""
    from edgedeploy.workflows.judges import speed_judge

    dataset = open_dataset(str(evaluation), inspect_model(source).inputs)
    feeds = [sample.feed for sample in itertools.islice(dataset.samples(), 4)]
    with speed_judge(address) as speed:
        figure = speed.compare(source.read_bytes(), result.read_bytes(), feeds)
    return {"instructions_float": figure.source, "instructions": figure.result, "instructions_ratio": figure.ratio}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("metric")
    parser.add_argument("--limit", type=int, help="judge on the first N samples only")
    parser.add_argument("--stream", type=Path, metavar="FILE", help="a recording for a model with states")
    parser.add_argument("--on", metavar="board:NAME", help="count instructions on this emulated board too")
    arguments = parser.parse_args()
    figures = judge(arguments.source, arguments.result, arguments.evaluation, arguments.metric, arguments.limit)
    if arguments.stream and "error" not in figures:
        figures |= in_a_stream(arguments.source, arguments.result, arguments.stream)
    if arguments.on and "error" not in figures:
        figures |= guest_instructions(arguments.on, arguments.source, arguments.result, arguments.evaluation)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
