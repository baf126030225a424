"""A gate in the terminal: the matrix, each verdict, and the answer last."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.gate import (
    STATE_SIGNS,
    accepting_in_words,
    answer_in_words,
    cell_in_words,
    contracts_and_targets,
    model_in_words,
    place_in_words,
    saved_in_words,
    warnings_of,
)
from edgedeploy.report.terminal.verdict import verdict_table
from edgedeploy.values.gate import Gate


def gate_tables(gate: Gate) -> tuple[RenderableType, ...]:
    """Tables and lines, in reading order."""
    parts: list[RenderableType] = []
    for cell in gate.cells:
        verdicts = [verdict for verdict in (cell.verdict, cell.baseline) if verdict is not None]
        if verdicts:
            parts.append(Text(f"{place_in_words(cell)} ({cell.seconds:.0f} s)", style="bold"))
        parts += [part for verdict in verdicts for part in (verdict_table(verdict), "")]
    parts += [Text(f"warning: {words}", style="yellow") for words in warnings_of(gate)]
    parts += [Text(words) for words in saved_in_words(gate)]
    if accepting := accepting_in_words(gate):
        parts.append(Text(accepting))
    style = "green" if gate.holds else "bold red"
    return (*parts, _matrix(gate), Text(f"gate: {answer_in_words(gate)} ({gate.seconds:.0f} s)", style=style))


def _matrix(gate: Gate) -> Table:
    contracts, targets = contracts_and_targets(gate)
    cells = {(cell.contract, cell.target): cell for cell in gate.cells}
    matrix = Table(box=None, pad_edge=False)
    for head in ("contract", *targets):
        matrix.add_column(head)
    for contract in contracts:
        row = [cells[contract, target] for target in targets]
        matrix.add_row(
            Text(model_in_words(row[0])), *(Text(f"{STATE_SIGNS[cell.state]} {cell_in_words(cell)}") for cell in row)
        )
    return matrix
