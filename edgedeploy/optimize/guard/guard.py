"""The guard: no result leaves `optimize` that does not load, lost its accuracy, grew or became slower.

A result is held against the float model on the evaluation data. What is judged is exact arithmetic, that is each pair
of QuantizeLinear and DequantizeLinear computed in float, since this machine's integer kernels are not the board's; what
those give stands beside it, named.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Iterable
from typing import Any

import onnx
from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset, Sample
from edgedeploy.datasets.sampling import spread
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.formats import format_of, runtime_of
from edgedeploy.inference.onnxruntime import host_isa
from edgedeploy.inference.session import Session, open_session
from edgedeploy.metrics.metric import Metric
from edgedeploy.metrics.model_comparison import (
    Compared,
    Ran,
    ResultFailedError,
    compare,
    relative_difference,
    run_result,
)
from edgedeploy.optimize.graph.edit import validation_error
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.stats.rounding import at_most
from edgedeploy.values.contract import Allowance
from edgedeploy.values.evidence import Execution
from edgedeploy.values.quality import MetricFigure
from edgedeploy.values.speed import SpeedFigure

LEAST_SQNR_DB = 10.0
"""Where there are no labels, a result whose error has more than a tenth of the power of the signal is refused.
8-bit networks that kept their accuracy were measured at 15 dB and more, one that had lost 19 % of its answers at 5."""

_SPEED_FEEDS = 4
_LEAST_BOARD_SAMPLES = 16
_BOARD_S = 60.0
"""How long a board may take to answer: an emulated one is some hundred times slower than this machine."""
_SCALES_OF_THE_BATCH = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat")
"""They take a scale from the whole batch: samples would answer for each other."""
_BATCH_BYTES = 4 << 20
_BATCH_SAMPLES = 16


class Data(Struct, frozen=True, kw_only=True):
    """What the models are compared on."""

    name: str
    """For reasons, e.g. `"the evaluation data"`."""
    dataset: Dataset | None
    generated: tuple[Sample, ...] = ()
    """When there is no dataset."""


class Violation(Struct, frozen=True):
    """Something that speaks against a result."""

    reason: str
    allowance: Allowance | None = None
    """By which name it may be allowed; None: it may not."""


class GuardResult(Struct, frozen=True, kw_only=True):
    violations: tuple[Violation, ...]
    """Those that were not allowed; the result must not leave unless this is empty."""
    notes: tuple[str, ...]
    """What is to be known all the same."""
    loads: bool = True
    """Whether onnxruntime loads the result."""
    source_metric: MetricFigure | None = None
    executions: tuple[Execution, ...] = ()
    speed: SpeedFigure | None = None
    """None when it was not judged."""

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against the result."""
        return not self.violations

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the result must not leave; empty when it may. What would allow it is said."""
        return tuple(
            one.reason + (f" (--allow {one.allowance} would let it through)" if one.allowance else "")
            for one in self.violations
        )


def judge(
    source: bytes,
    result: bytes,
    *,
    source_size_bytes: int,
    data: Data | None,
    metric: Metric | None,
    max_drop: float,
    tolerance: float | None,
    speed: SpeedJudge | None = None,
    board: Board | None = None,
    allowed: Collection[Allowance] = (),
    progress: Progress = SILENT,
) -> GuardResult:
    """Hold `result` against `source`.

    Args:
        source, result: serialized models.
        source_size_bytes: of the source as it came, external data included.
        data: what to run them on; None when there is nothing.
        metric: judged when the data has labels; None when it has none.
        max_drop: how much the metric may fall, in its own units; a fall of just this much is allowed. Where there are
            no labels, the share of answers that may change: the accuracy cannot have fallen by more.
        tolerance: how far outputs may move relative to the largest, for a recipe that promises to keep results;
            None for one that does not.
        speed: compares how fast they are; None leaves that unjudged.
        board: runs the result too, on as many samples as it has time for; None for none.
        allowed: violations of these kinds are notes only.

    Raises:
        DatasetError: the data does not fit the float model.
    """
    found = _Findings(allowed)
    if len(result) > source_size_bytes:
        found.object(
            f"the result is larger than what came in: {len(result):,} bytes, not {source_size_bytes:,}", "larger"
        )
    form = format_of(source[:8])
    if form == "onnx" and (complained := validation_error(result)) is not None:
        if validation_error(source) is None:
            found.object(f"the result is not valid ONNX: {complained}")
        else:
            found.note(f"onnx's checker has something against the model as it came: {complained}")
    try:
        exact, host = open_session(result, form, exact=True), open_session(result, form, exact=False)
    except EdgedeployError as error:
        found.object(f"{runtime_of(form)} does not load the result: {error.why or error.what}")
        return found.guard_result(loads=False)
    if data is None:
        found.object(
            "the result could not be run: no data was given, and the model takes no input that was made up", "unjudged"
        )
        return found.guard_result()

    reference = open_session(source, form, exact=True)
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
        found.object(f"the result does not run on {data.name}: {error}")
        return found.guard_result()

    judged, on_host = compared.ran
    for violation in accuracy_violations(compared, data, metric, max_drop, tolerance):
        found.object(violation.reason, violation.allowance)
    if compared.reference_non_finite and not compared.reference_finite:
        found.object(
            f"the float model gives nothing but NaN or infinity on {data.name}, so nothing can be judged: "
            "check how the data was prepared",
            "unjudged",
        )
    elif compared.reference_non_finite:
        found.note(f"the float model itself gives NaN or infinity on {data.name}")
    if tolerance is not None and 0 < judged.largest_difference <= tolerance:
        found.note(f"results stayed: at most {_moved(judged, tolerance)}")
    for note in _metric_notes(compared, max_drop):
        found.note(note)
    if metric is None:
        found.note(f"accuracy was not judged, for want of labels: only agreement with the float model on {data.name}")
    on_board = _judge_on_board(reference, result, board, data, metric, max_drop, found, progress)
    figure = _judge_speed(source, result, speed, data, found, progress)
    isa = host_isa()
    return found.guard_result(
        source_metric=compared.reference_metric,
        executions=tuple(
            Execution(
                arithmetic=arithmetic,
                isa=isa,
                metric=ran.metric,
                change=ran.change,
                agreement=ran.agreement,
                classes=ran.classes,
                broken=ran.broken,
            )
            for arithmetic, ran in (("exact", judged), ("host", on_host))
        )
        + on_board,
        speed=figure,
    )


def within(before: float, after: float, max_drop: float) -> bool:
    """Whether a metric that was `before` and is `after` fell by at most `max_drop`, rounding aside. NaN never holds."""
    return at_most(before - after, max_drop)


class _Findings:
    """What speaks against a result and what is to be known of it, as it is found."""

    def __init__(self, allowed: Collection[Allowance]) -> None:
        self._allowed = allowed
        self._violations: list[Violation] = []
        self._notes: list[str] = []

    def object(self, reason: str, allowance: Allowance | None = None) -> None:
        if allowance is not None and allowance in self._allowed:
            self.note(f"allowed by name ({allowance}): {reason}")
        else:
            self._violations.append(Violation(reason, allowance))

    def note(self, text: str) -> None:
        self._notes.append(text)

    def guard_result(self, **figures: Any) -> GuardResult:
        return GuardResult(violations=tuple(self._violations), notes=tuple(self._notes), **figures)


def accuracy_violations(
    compared: Compared,
    data: Data,
    metric: Metric | None,
    max_drop: float,
    tolerance: float | None = None,
    where: str = "in exact arithmetic",
) -> list[Violation]:
    """What speaks against the first result that was compared, as far as its outputs go."""
    judged = compared.ran[0]
    found: list[Violation] = []
    if judged.non_finite:
        found.append(
            Violation(f"{judged.non_finite:,} elements are NaN or infinite where the float model gives numbers")
        )
    if tolerance is not None and not judged.largest_difference <= tolerance:
        found.append(Violation(f"the recipe promises to keep results, and {_moved(judged, tolerance)}", "loss"))
    before, after = compared.reference_metric, judged.metric
    if metric is not None and before is not None and after is not None:
        if not within(before.value, after.value, max_drop):
            found.append(
                Violation(
                    f"{after.name} fell from {before.value:.4f} to {after.value:.4f} {where}, by "
                    f"{before.value - after.value:.4f}; allowed is {max_drop:g}",
                    "loss",
                )
            )
    elif tolerance is None:
        found += _agreement_violations(judged, data, max_drop)
    return found


def _agreement_violations(judged: Ran, data: Data, max_drop: float) -> Iterable[Violation]:
    sqnr_db, match = judged.agreement.sqnr_db, judged.agreement.top1_match
    if match is None and judged.agreement.other_shapes:
        match = 1.0 - judged.agreement.other_shapes / judged.agreement.samples
    if sqnr_db is not None and sqnr_db < LEAST_SQNR_DB and judged.agreement.other_shapes < judged.agreement.samples:
        yield Violation(
            f"outputs differ too much from the float model's to be let through without labels: SQNR {sqnr_db:.1f} dB "
            f"on {data.name}, and {LEAST_SQNR_DB:g} dB is the least",
            "loss",
        )
    # Of inputs that were made up, answers are close to arbitrary in the float model too.
    elif data.dataset is not None and match is not None and not within(1.0, match, max_drop):
        yield Violation(
            f"{1 - match:.1%} of the answers changed on {data.name}, and {max_drop:.1%} is the budget: without labels "
            "the accuracy may have fallen by as much (labelled --evaluation data would tell)",
            "loss",
        )


def _moved(judged: Ran, tolerance: float) -> str:
    return f"an output moved by {judged.largest_difference:.2g} of the largest (allowed: {tolerance:.2g})"


def _metric_notes(compared: Compared, max_drop: float) -> Iterable[str]:
    before, judged = compared.reference_metric, compared.ran[0]
    after, host = judged.metric, compared.ran[1].metric
    if before is None or after is None or host is None or judged.change is None:
        return
    if not within(before.value, after.value, max_drop):
        return
    # Where every output is the same, bit for bit, no number of samples would show a loss.
    moved = judged.agreement.sqnr_db is not None or judged.agreement.other_shapes
    if moved and not at_most(-judged.change.low, max_drop):
        yield (
            f"{after.samples:,} samples are too few to be sure that {after.name} fell by no more than {max_drop:g}: "
            f"with {judged.change.confidence:.0%} confidence it changed by {judged.change.low:+.4f} to "
            f"{judged.change.high:+.4f}"
        )
    if not within(before.value, host.value, max_drop):
        yield (
            f"this machine's own integer kernels ({host_isa()}) give {host.name} {host.value:.4f} where exact "
            f"arithmetic gives {after.value:.4f}; measure on the board"
        )


def _judge_on_board(
    reference: Session,
    result: bytes,
    board: Board | None,
    data: Data,
    metric: Metric | None,
    max_drop: float,
    found: _Findings,
    progress: Progress,
) -> tuple[Execution, ...]:
    """What the board's own kernels answer. A part of the data may have to do: then only a loss that chance does not
    explain speaks against the result."""
    if board is None:
        return ()
    progress.step(f"running the result on {board.where}")
    first = next(iter(data.dataset.samples() if data.dataset is not None else data.generated))
    try:
        session = board.session(result)
        begun = time.monotonic()
        run_result(session, first, reference, reference.run(first.feed))
        affordable = max(_LEAST_BOARD_SAMPLES, int(_BOARD_S / max(time.monotonic() - begun, 1e-3)))
        samples = data.generated if data.dataset is None else spread(data.dataset, affordable)
        compared = compare(reference, (session,), samples, metric=metric, total=affordable, progress=progress)
    except ResultFailedError as error:
        found.object(f"the result does not run on {board.where}: {error}")
        return ()
    judged = compared.ran[0]
    whole = data.dataset is None or data.dataset.count is None or affordable >= data.dataset.count
    for violation in accuracy_violations(compared, data, metric, max_drop, where=f"on {board.where}"):
        by_chance = violation.allowance == "loss" and judged.change is not None and -judged.change.high <= max_drop
        if whole or not by_chance:
            found.object(violation.reason, violation.allowance)
        else:
            found.note(f"{violation.reason}; {compared.samples:,} samples cannot tell that from chance")
    return (
        Execution(
            arithmetic="board", isa=board.where, metric=judged.metric, change=judged.change, agreement=judged.agreement
        ),
    )


def _judge_speed(
    source: bytes, result: bytes, speed: SpeedJudge | None, data: Data, found: _Findings, progress: Progress
) -> SpeedFigure | None:
    if speed is None:
        found.note("speed was not judged")
        return None
    progress.step("comparing the speed with the float model's")
    samples = data.dataset.samples() if data.dataset is not None else iter(data.generated)
    try:
        figure = speed.compare(source, result, [sample.feed for sample in itertools.islice(samples, _SPEED_FEEDS)])
    except ResultFailedError as error:
        found.object(f"the result does not run where its speed is judged: {error}")
        return None
    if figure.slower:
        found.object(
            f"the result is slower than the float model: {figure.ratio:.2f} times its {figure.currency} "
            f"({figure.low:.2f} to {figure.high:.2f}; {figure.where})",
            "slower",
        )
    return figure


def _batches(data: Data, reference: Session, result: bytes) -> Iterable[Sample]:
    if data.dataset is None:
        return data.generated
    return data.dataset.batches(_batch_size(data.dataset, reference, result))


def _batch_size(dataset: Dataset, reference: Session, result: bytes) -> int:
    """How many samples to run at once, so that the figures are those of one at a time."""
    if format_of(result[:8]) == "onnx":
        graph = onnx.load_from_string(result).graph
        if any(node.op_type in _SCALES_OF_THE_BATCH for node in graph.node):
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
