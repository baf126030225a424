"""A gate as GitHub-flavoured Markdown: the matrix first, then what each contract says on each target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgedeploy.report.content.gate import (
    accepting_in_words,
    answer_in_words,
    cell_in_words,
    contracts_and_targets,
    model_in_words,
    problems_of,
    saved_in_words,
    warnings_of,
)
from edgedeploy.report.exports.markdown import MARKS, plain, shipment_markdown, table, verdict_markdown
from edgedeploy.values.contract import Outcome
from edgedeploy.values.gate import Gate, GateCell, GateState
from edgedeploy.values.shipment import Shipment

_STATE_MARKS: dict[GateState, str] = {
    "holds": MARKS[Outcome.HOLDS],
    "breaks": MARKS[Outcome.BREAKS],
    "not determined": MARKS[Outcome.NOT_DETERMINED],
    "error": "⚠️",
    "stopped": "⏹️",
    "not run": "➖",
}


def gate_markdown(gate: Gate, shipments: Mapping[tuple[str, str], Shipment] | None = None) -> str:
    """The answer, a matrix of contracts and targets, what went wrong, and each verdict with its lines.

    Args:
        shipments: by contract and target: adds the model before and after, and its regressions.
    """
    shipments = shipments or {}
    mark = MARKS[Outcome.HOLDS if gate.holds else Outcome.BREAKS]
    parts = [f"## {mark} edgedeploy gate: {answer_in_words(gate)}", "", *_matrix(gate), ""]
    parts += [f"Exit code {gate.exit_code}, {gate.seconds:.0f} s.", ""]
    for where, problem in problems_of(gate):
        parts.append(f"- **{plain(where or 'error')}**: {plain(problem.what)}")
        parts += [
            f"  - {name}: {plain(words)}" for name, words in (("why", problem.why), ("fix", problem.hint)) if words
        ]
    parts += [f"- ⚠️ {plain(warning)}" for warning in warnings_of(gate)]
    parts += [f"- {plain(words)}" for words in saved_in_words(gate)]
    if accepting := accepting_in_words(gate):
        parts.append(f"- {plain(accepting)}")
    if gate.baseline is None:
        parts.append("- No baseline was given: instructions and size were held against nothing but the contract.")
    for cell in gate.cells:
        parts += _details(cell, shipments.get((cell.contract, cell.target)))
    return "\n".join(parts).rstrip() + "\n"


def _matrix(gate: Gate) -> list[str]:
    contracts, targets = contracts_and_targets(gate)
    cells = {(cell.contract, cell.target): cell for cell in gate.cells}
    rows = [
        (
            plain(model_in_words(cells[contract, targets[0]])),
            *(_marked(cells[contract, target]) for target in targets),
        )
        for contract in contracts
    ]
    return table(("contract", *targets), rows)


def _marked(cell: GateCell) -> str:
    return f"{_STATE_MARKS[cell.state]} {plain(cell_in_words(cell))}"


def _details(cell: GateCell, shipment: Shipment | None) -> Iterator[str]:
    if cell.verdict is None:
        return
    yield from ("", f"## {plain(model_in_words(cell))} on {plain(cell.target)}", "")
    yield verdict_markdown(cell.verdict) if shipment is None else shipment_markdown(shipment)
    if cell.baseline is not None:
        yield verdict_markdown(cell.baseline)
