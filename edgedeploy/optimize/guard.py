"""The guard: no result leaves `optimize` that does not load, lost its accuracy or grew.

A result is held against the float model on the evaluation data. What is judged is exact arithmetic, that is each pair
of QuantizeLinear and DequantizeLinear computed in float, since this machine's integer kernels are not the board's; what
those give stands beside it, named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import onnx
from msgspec import Struct

from edgedeploy.dataset import Dataset, Sample
from edgedeploy.errors import EdgedeployError
from edgedeploy.host_run import HostSession, host_isa
from edgedeploy.metrics import Metric
from edgedeploy.optimize.comparison import Compared, Ran, ResultFailedError, compare, relative_difference
from edgedeploy.optimize.graph import complaint
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.evidence import Execution
from edgedeploy.values.quality import MetricFigure

LEAST_SQNR_DB = 10.0
"""Where there are no labels, a result whose error has more than a tenth of the power of the signal is refused.
8-bit networks that kept their accuracy were measured at 15 dB and more, one that had lost 19 % of its answers at 5."""

_ROUNDING = 1e-9
"""Metrics are means of a few thousand numbers; a difference of two of them is not known better than this."""

_BATCH_BYTES = 4 << 20
_BATCH_SAMPLES = 16


class Data(Struct, frozen=True, kw_only=True):
    """What the models are compared on."""

    name: str
    """For reasons, e.g. `"the evaluation data"`."""
    dataset: Dataset | None
    generated: tuple[Sample, ...] = ()
    """When there is no dataset."""


class Judgement(Struct, frozen=True, kw_only=True):
    refusals: tuple[str, ...]
    """Why the result must not leave; empty when it may."""
    notes: tuple[str, ...]
    """What is to be known all the same."""
    loads: bool = True
    """Whether onnxruntime loads the result."""
    source_metric: MetricFigure | None = None
    executions: tuple[Execution, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against the result."""
        return not self.refusals


def judge(
    source: bytes,
    result: bytes,
    *,
    source_size_bytes: int,
    data: Data | None,
    metric: Metric | None,
    max_drop: float,
    tolerance: float | None,
    progress: Progress = SILENT,
) -> Judgement:
    """Hold `result` against `source`.

    Args:
        source, result: serialized models.
        source_size_bytes: of the source as it came, external data included.
        data: what to run them on; None when there is nothing.
        metric: judged when the data has labels; None when it has none.
        max_drop: how much the metric may fall, in its own units; a fall of just this much is allowed.
        tolerance: how far outputs may move relative to the largest, for a recipe that promises to keep results;
            None for one that does not.

    Raises:
        DatasetError: the data does not fit the float model.
    """
    refusals: list[str] = []
    notes: list[str] = []
    if len(result) > source_size_bytes:
        refusals.append(f"the result is larger than what came in: {len(result):,} bytes, not {source_size_bytes:,}")
    if (objection := complaint(result)) is not None:
        if complaint(source) is None:
            refusals.append(f"the result is not valid ONNX: {objection}")
        else:
            notes.append(f"onnx's checker has something against the model as it came: {objection}")
    try:
        exact, host = HostSession(result, exact=True), HostSession(result, exact=False)
    except EdgedeployError as error:
        refusals.append(f"onnxruntime does not load the result: {error.why or error.what}")
        return Judgement(refusals=tuple(refusals), notes=tuple(notes), loads=False)
    if data is None:
        refusals.append("the result could not be run: no data was given, and the model takes no input that was made up")
        return Judgement(refusals=tuple(refusals), notes=tuple(notes))

    reference = HostSession(source, exact=True)
    progress.step(f"comparing with the float model on {data.name}")
    try:
        compared = compare(
            reference,
            (exact, host),
            _batches(data, reference, result),
            metric=metric,
            total=data.dataset.count if data.dataset else len(data.generated),
            progress=progress,
        )
    except ResultFailedError as error:
        refusals.append(f"the result does not run on {data.name}: {error}")
        return Judgement(refusals=tuple(refusals), notes=tuple(notes))

    judged, on_host = compared.ran
    if judged.non_finite:
        refusals.append(f"{judged.non_finite:,} elements are NaN or infinite where the float model gives numbers")
    if compared.reference_non_finite:
        notes.append(f"the float model itself gives NaN or infinity on {data.name}")
    if tolerance is not None:
        moved = f"an output moved by {judged.largest_difference:.2g} of the largest (allowed: {tolerance:.2g})"
        if not judged.largest_difference <= tolerance:
            refusals.append(f"the recipe promises to keep results, and {moved}")
        elif judged.largest_difference:
            notes.append(f"results stayed: at most {moved}")
    if metric is not None:
        refusals += _metric_refusals(compared, max_drop)
        notes += _host_notes(compared, max_drop)
    else:
        notes.append(f"accuracy was not judged, for want of labels: only agreement with the float model on {data.name}")
        if tolerance is None:
            refusals += _agreement_refusals(judged, data)
    isa = host_isa()
    return Judgement(
        refusals=tuple(refusals),
        notes=tuple(notes),
        source_metric=compared.reference_metric,
        executions=tuple(
            Execution(arithmetic=arithmetic, isa=isa, metric=ran.metric, agreement=ran.agreement)
            for arithmetic, ran in (("exact", judged), ("host", on_host))
        ),
    )


def within(before: float, after: float, max_drop: float) -> bool:
    """Whether a metric that was `before` and is `after` fell by at most `max_drop`, rounding aside. NaN never holds."""
    return before - after <= max_drop + _ROUNDING


def _metric_refusals(compared: Compared, max_drop: float) -> Iterable[str]:
    before, after = compared.reference_metric, compared.ran[0].metric
    if before is None or after is None:
        return
    if not within(before.value, after.value, max_drop):
        yield (
            f"{after.name} fell from {before.value:.4f} to {after.value:.4f} in exact arithmetic, by "
            f"{before.value - after.value:.4f}; allowed is {max_drop:g}"
        )


def _host_notes(compared: Compared, max_drop: float) -> Iterable[str]:
    before, judged, host = compared.reference_metric, compared.ran[0].metric, compared.ran[1].metric
    if before is None or judged is None or host is None:
        return
    if within(before.value, judged.value, max_drop) and not within(before.value, host.value, max_drop):
        yield (
            f"this machine's own integer kernels ({host_isa()}) give {host.name} {host.value:.4f} where exact "
            f"arithmetic gives {judged.value:.4f}; measure on the board"
        )


def _agreement_refusals(judged: Ran, data: Data) -> Iterable[str]:
    sqnr_db = judged.agreement.sqnr_db
    if sqnr_db is not None and sqnr_db < LEAST_SQNR_DB:
        yield (
            f"outputs differ too much from the float model's to be let through without labels: SQNR {sqnr_db:.1f} dB "
            f"on {data.name}, and {LEAST_SQNR_DB:g} dB is the least"
        )


def _batches(data: Data, reference: HostSession, result: bytes) -> Iterable[Sample]:
    if data.dataset is None:
        return data.generated
    return data.dataset.batches(_batch_size(data.dataset, reference, result))


def _batch_size(dataset: Dataset, reference: HostSession, result: bytes) -> int:
    """How many samples to run at once, so that the figures are those of one at a time."""
    graph = onnx.load_from_string(result).graph
    if any(node.op_type == "DynamicQuantizeLinear" for node in graph.node):
        # Its scale comes from the whole batch: samples would answer for each other.
        return 1
    pair: list[Sample] = []
    for sample in dataset.samples():
        pair.append(sample)
        if len(pair) == 2:
            break
    if len(pair) < 2 or any(sample.size != 1 for sample in pair):
        return 1
    together = next(iter(dataset.batches(2)))
    if together.size != 2:
        return 1
    # A first dimension that is dynamic need not be a batch, and a graph may have its batch of one written into it.
    try:
        stacked = reference.run(together.feed)
        single = [reference.run(sample.feed) for sample in pair]
    except EdgedeployError:
        return 1
    for output, first, second in zip(stacked, *single, strict=True):
        if output.ndim == 0 or output.shape[0] != 2 or first.shape[:1] != (1,) or second.shape[:1] != (1,):
            return 1
        if relative_difference([output[:1], output[1:]], [first, second]) > 1e-4:
            return 1
    sample_bytes = sum(array.nbytes for array in pair[0].feed.values())
    return max(1, min(_BATCH_SAMPLES, _BATCH_BYTES // max(sample_bytes, 1)))


def is_sane_drop(max_drop: float) -> bool:
    """Whether `max_drop` is a number that a metric can fall by."""
    return math.isfinite(max_drop) and max_drop >= 0.0
