"""Speed on a device that judges for itself, once the release is there."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

from msgspec import structs

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.inference.formats import format_of, runtime_of
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.model.load import load_onnx
from edgedeploy.optimize.guard.speed import slower_in_words, unjudged_in_words
from edgedeploy.values.bundle import Release
from edgedeploy.values.contract import Allowance, Outcome, Verdict, VerdictLine
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.speed import SpeedFigure
from edgedeploy.workflows.device_timing import DeviceTiming
from edgedeploy.workflows.judges import judges_itself
from edgedeploy.workflows.ship.request import ShipRequest

_FEEDS = 4
_KEY = "optimization.device_time_max"
"""The figure is the lower bound of the ratio's interval: what is not sure to be slower does not break."""


def judged_on_device(
    request: ShipRequest,
    optimized: Path,
    evidence: Evidence,
    connection: Connection,
    release: Release,
    progress: Progress,
    *,
    emulated: bool = False,
) -> Evidence:
    """Return the evidence with the speed by the device's own clock, where nobody judged before the push.

    Where the device cannot judge, the evidence says why: a release is not taken back for that.

    Args:
        emulated: whether the measurement found an emulator behind the address.
    """
    if evidence.speed is not None or not judges_itself(request.device):
        return evidence
    if emulated:
        return _with(evidence, None, f"{request.device} is emulated: its clock says nothing of a real board")
    try:
        figure = _compared(request, optimized, connection, release, progress)
    except (EdgedeployError, ResultFailedError) as error:
        why = f"{error.what}: {error.why}" if isinstance(error, EdgedeployError) and error.why else str(error)
        return _with(evidence, None, why)
    return _with(evidence, figure, "")


def with_speed(verdict: Verdict, speed: SpeedFigure | None, allowed: Collection[Allowance]) -> Verdict:
    """Return the verdict with a line for the speed that the device judged: slower than the float model breaks it."""
    if speed is None or speed.currency != "device time" or speed.limit is None:
        return verdict
    outcome = Outcome.HOLDS
    reason = (
        f"the least that {speed.ratio:.2f} times the float model's time may be ({speed.samples} pairs; {speed.where})"
    )
    if speed.slower and "slower" in allowed:
        reason = f"allowed by name (slower): {slower_in_words(speed)}"
    elif speed.slower:
        outcome, reason = Outcome.BREAKS, f"slower than the float model: {slower_in_words(speed)}"
    line = VerdictLine(key=_KEY, limit=speed.limit, figure=speed.low, unit="", outcome=outcome, reason=reason)
    whole = Outcome.BREAKS if outcome is Outcome.BREAKS else verdict.outcome
    return structs.replace(verdict, lines=(*verdict.lines, line), outcome=whole)


def _compared(
    request: ShipRequest, optimized: Path, connection: Connection, release: Release, progress: Progress
) -> SpeedFigure:
    timing = DeviceTiming(connection, release, progress)
    result = read_file(optimized, MODEL)
    backend, runtime = release.manifest.runtime.backend, runtime_of(format_of(result[:8]))
    if format_of(result[:8]) != ("tflite" if backend == "tflite" else "onnx"):
        raise ResultFailedError(f"the release runs in {backend}, and the float model in {runtime}")
    is_onnx = format_of(result[:8]) == "onnx"
    source = load_onnx(request.model).SerializeToString() if is_onnx else read_file(request.model, MODEL)
    dataset = open_dataset(request.evaluation, release.manifest.model.inputs)
    feeds = [sample.feed for sample in itertools.islice(dataset.samples(), _FEEDS)]
    return timing.compare(source, result, feeds)


def _with(evidence: Evidence, speed: SpeedFigure | None, why: str) -> Evidence:
    """Replace what the evidence says of speed."""
    before = unjudged_in_words(evidence.speed_unjudged)
    reasons = [reason for reason in evidence.reasons if reason != before]
    return structs.replace(
        evidence,
        speed=speed,
        speed_unjudged=why,
        reasons=(*reasons, *([] if speed is not None else [unjudged_in_words(why)])),
    )
