"""The guard: no result leaves `optimize` that does not load, lost its accuracy, grew or became slower.

A result is held against the float model on the evaluation data. What is judged is exact arithmetic, that is each pair
of QuantizeLinear and DequantizeLinear computed in float, since this machine's integer kernels are not the board's; what
those give stands beside it, named.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.formats import ModelFormat, runtime_of
from edgedeploy.inference.onnxruntime import host_isa
from edgedeploy.inference.session import Session, arithmetic_note, open_session
from edgedeploy.metrics.metric_trial import MetricTrial
from edgedeploy.metrics.model_comparison import ModelComparison, ResultFailedError, compare
from edgedeploy.metrics.regressions import with_class_names
from edgedeploy.optimize.graph.edit import validation_error
from edgedeploy.optimize.guard.accuracy import judge_accuracy
from edgedeploy.optimize.guard.batching import batches
from edgedeploy.optimize.guard.board import judge_on_board
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.guard.request import GuardRequest
from edgedeploy.optimize.guard.result import Findings, GuardResult, ViolationKind
from edgedeploy.optimize.guard.speed import judge_speed
from edgedeploy.values.evidence import Execution


def judge(result: bytes, request: GuardRequest) -> GuardResult:
    """Hold a result against its source.

    Args:
        result: serialized model.
        request: the source, what to run both on, and what is allowed.

    Raises:
        DatasetError: the data does not fit the source.
        EdgedeployError: the source does not run where speed is judged, or the board cannot load the result.
    """
    findings = Findings(request.allowed)
    _judge_file(result, request, findings)
    sessions = _load(result, request.format, findings)
    if sessions is None:
        return findings.result(loads=False)
    evaluation = request.evaluation
    if evaluation is None:
        findings.violate(
            ViolationKind.UNJUDGED,
            "the result could not be run: no data was given, and the model takes no input that was made up",
        )
        return findings.result()
    reference = open_session(request.source, request.format, exact=True)
    if note := arithmetic_note(sessions[0]) or arithmetic_note(reference):
        findings.note(note)
    compared = _compare(reference, sessions, result, evaluation, findings)
    if compared is None:
        return findings.result()
    judge_accuracy(compared, evaluation, findings)
    on_board = judge_on_board(request.board, reference, result, evaluation, findings)
    speed = judge_speed(request.speed, request.source, result, evaluation, findings, request.speed_unjudged)
    executions = (*_host_executions(compared, evaluation.data.class_names), *on_board)
    return findings.result(
        source_metric=compared.reference_metric, metric_trust=compared.trust, executions=executions, speed=speed
    )


def _judge_file(result: bytes, request: GuardRequest, findings: Findings) -> None:
    """Judge size and validity, without running anything."""
    if len(result) > request.source_size_bytes:
        findings.violate(
            ViolationKind.LARGER,
            f"the result is larger than what came in: {len(result):,} bytes, not {request.source_size_bytes:,}",
        )
    if request.format != "onnx" or (error := validation_error(result)) is None:
        return
    if validation_error(request.source) is None:
        findings.violate(ViolationKind.INVALID, f"the result is not valid ONNX: {error}")
    else:
        findings.note(f"onnx's checker has something against the model as it came: {error}")


def _load(result: bytes, model_format: ModelFormat, findings: Findings) -> tuple[Session, Session] | None:
    """Load the result in exact arithmetic and on the host's kernels; None when it does not, which is a violation."""
    try:
        return open_session(result, model_format, exact=True), open_session(result, model_format, exact=False)
    except EdgedeployError as error:
        findings.violate(
            ViolationKind.DOES_NOT_LOAD,
            f"{runtime_of(model_format)} does not load the result: {error.why or error.what}",
        )
        return None


def _compare(
    reference: Session, sessions: tuple[Session, Session], result: bytes, evaluation: Evaluation, findings: Findings
) -> ModelComparison | None:
    """Run source and result over the data; None when the result fails, which is a violation."""
    data = evaluation.data
    evaluation.progress.step(f"comparing with the float model on {data.name}")
    try:
        return compare(
            reference,
            sessions,
            batches(data, reference, result),
            metric=evaluation.metric,
            classifies=evaluation.classifies,
            decoder=evaluation.decoder,
            ranks=evaluation.ranks,
            trial=MetricTrial(evaluation.metric, evaluation.allowed) if evaluation.metric is not None else None,
            total=data.count,
            progress=evaluation.progress,
        )
    except ResultFailedError as error:
        findings.violate(ViolationKind.DOES_NOT_RUN, f"the result does not run on {data.name}: {error}")
        return None


def _host_executions(compared: ModelComparison, class_names: Sequence[str]) -> tuple[Execution, ...]:
    isa = host_isa()
    return tuple(
        Execution(
            arithmetic=arithmetic,
            isa=isa,
            metric=figures.metric,
            change=figures.change,
            kept=figures.kept,
            rank_correlation=figures.rank_correlation,
            agreement=figures.agreement,
            classes=with_class_names(figures.classes, class_names),
            broken=figures.broken,
            by_output=figures.by_output,
            by_group=figures.by_group,
        )
        for arithmetic, figures in zip(("exact", "host"), compared.sessions, strict=True)
    )
