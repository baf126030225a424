"""Where the guard may run a result besides this machine, and what it makes of the answers."""

from __future__ import annotations

import time
from typing import Protocol

from msgspec import structs

from edgedeploy.inference.session import Session
from edgedeploy.metrics.model_comparison import ModelComparison, ResultFailedError, compare, run_result
from edgedeploy.optimize.guard.accuracy import accuracy_violations
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.guard.result import Findings, ViolationKind
from edgedeploy.values.evidence import Execution

_LEAST_SAMPLES = 16


class Board(Protocol):
    """Another machine than this one, which runs models with kernels of its own."""

    where: str
    """For reasons and reports, e.g. `"board:rpi4 (cortex-a72)"`."""
    budget_s: float
    """How long it may take to answer: an emulated one is some hundred times slower than this machine."""

    def session(self, model: bytes) -> Session:
        """Load the model there. It may be run until the next one is asked for.

        Raises:
            EdgedeployError: the model cannot be loaded there.
        """


def judge_on_board(
    board: Board | None, reference: Session, result: bytes, evaluation: Evaluation, findings: Findings
) -> tuple[Execution, ...]:
    """Run a result with the board's own kernels, on as many samples as there is time for, and judge its outputs.

    Where that is not all of the data, only a loss that chance does not explain is a violation.

    Args:
        reference: the source on this machine, in exact arithmetic.

    Returns:
        The figures; none when there is no board, or the result does not run there, which is a violation.

    Raises:
        EdgedeployError: the board cannot load the model.
    """
    if board is None:
        return ()
    # A recipe's promise to keep results is of exact arithmetic: another core's kernels round in their own way.
    evaluation = structs.replace(evaluation, tolerance=None)
    evaluation.progress.step(f"running the result on {board.where}")
    try:
        session = board.session(result)
        affordable = _affordable_samples(session, reference, evaluation, board.budget_s)
        compared = compare(
            reference,
            (session,),
            evaluation.data.spread(affordable),
            metric=evaluation.metric,
            classifies=evaluation.classifies,
            decoder=evaluation.decoder,
            ranks=evaluation.ranks,
            total=affordable,
            progress=evaluation.progress,
        )
    except ResultFailedError as error:
        findings.violate(ViolationKind.DOES_NOT_RUN, f"the result does not run on {board.where}: {error}")
        return ()
    dataset = evaluation.data.dataset
    ran_all = dataset is None or dataset.count is None or affordable >= dataset.count
    _judge(compared, evaluation, board.where, ran_all, findings)
    judged = compared.sessions[0]
    return (
        Execution(
            arithmetic="board",
            isa=board.where,
            metric=judged.metric,
            change=judged.change,
            kept=judged.kept,
            rank_correlation=judged.rank_correlation,
            agreement=judged.agreement,
            by_output=judged.by_output,
            by_group=judged.by_group,
        ),
    )


def _affordable_samples(session: Session, reference: Session, evaluation: Evaluation, budget_s: float) -> int:
    first = next(evaluation.data.samples())
    started_s = time.monotonic()
    run_result(session, first, reference, reference.run(first.feed))
    return max(_LEAST_SAMPLES, int(budget_s / max(time.monotonic() - started_s, 1e-3)))


def _judge(compared: ModelComparison, evaluation: Evaluation, where: str, ran_all: bool, findings: Findings) -> None:
    change = compared.sessions[0].change
    for violation in accuracy_violations(compared, evaluation, where=f"on {where}"):
        may_be_chance = (
            violation.kind is ViolationKind.METRIC_FELL
            and change is not None
            and compared.reference_metric is not None
            and change.least_loss <= evaluation.allowed(compared.reference_metric)
        )
        if ran_all or not may_be_chance:
            findings.add(violation)
        else:
            findings.note(f"{violation.reason}; {compared.samples:,} samples cannot tell that from chance")
