"""Words for a gate's cells, the same in the terminal and in the files for CI."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from edgedeploy.report.content.wording import OUTCOME_SIGNS, OUTCOME_WORDS
from edgedeploy.values.contract import Outcome
from edgedeploy.values.gate import Gate, GateCell, GateProblem, GateState

STATE_WORDS: dict[GateState, str] = {
    "holds": OUTCOME_WORDS[Outcome.HOLDS],
    "breaks": OUTCOME_WORDS[Outcome.BREAKS],
    "not determined": OUTCOME_WORDS[Outcome.NOT_DETERMINED],
    "error": "error",
    "stopped": "stopped",
    "not run": "not run",
}
STATE_SIGNS: dict[GateState, str] = {
    "holds": OUTCOME_SIGNS[Outcome.HOLDS],
    "breaks": OUTCOME_SIGNS[Outcome.BREAKS],
    "not determined": OUTCOME_SIGNS[Outcome.NOT_DETERMINED],
    "error": "!",
    "stopped": "!",
    "not run": "–",
}


def model_in_words(cell: GateCell) -> str:
    """Name and version of the model; the contract's file where it could not be read."""
    return f"{cell.name} {cell.version}" if cell.name else cell.contract


def place_in_words(cell: GateCell) -> str:
    """`"text-direction 2.0 on rpi4"`."""
    return f"{model_in_words(cell)} on {cell.target}"


def answer_in_words(gate: Gate) -> str:
    """`"holds"`, `"breaks"`, `"not determined"`, `"stopped"` or `"error"`: that of the whole."""
    if gate.holds:
        return STATE_WORDS["holds"]
    states = [cell.state for cell in gate.cells]
    if "stopped" in states or any(problem.exit_code > 128 for problem in gate.problems):
        return STATE_WORDS["stopped"]
    order: tuple[GateState, ...] = ("breaks", "not determined", "error")
    return STATE_WORDS[next((state for state in order if state in states), "error")]


def contracts_and_targets(gate: Gate) -> tuple[list[str], list[str]]:
    """The rows and the columns of the matrix."""
    return list(dict.fromkeys(cell.contract for cell in gate.cells)), list(
        dict.fromkeys(cell.target for cell in gate.cells)
    )


def cell_in_words(cell: GateCell) -> str:
    """`"holds, 12,062,976 instructions"`."""
    words = STATE_WORDS[cell.state]
    return f"{words}, {cell.instructions:,.0f} instructions" if cell.instructions is not None else words


def saved_in_words(gate: Gate) -> Iterator[str]:
    """Say what was written into the baseline, a sentence for each kind of change."""
    for how in ("made", "replaced"):
        names = [place_in_words(cell) for cell in gate.cells if cell.saved == how]
        if names:
            yield f"Baseline {gate.baseline} {how}: {', '.join(names)}. Commit it."


def warnings_of(gate: Gate) -> Iterator[str]:
    """All warnings, those of a cell with its name."""
    yield from gate.warnings
    for cell in gate.cells:
        yield from (f"{place_in_words(cell)}: {warning}" for warning in cell.warnings)


def problems_of(gate: Gate) -> Iterator[tuple[str, GateProblem]]:
    """All problems, each once, with where they were met: empty for those of no single cell."""
    for problem in gate.problems:
        yield "", problem
    places: dict[GateProblem, list[GateCell]] = {}
    for cell in gate.cells:
        if cell.problem is not None and cell.problem not in gate.problems:
            places.setdefault(cell.problem, []).append(cell)
    for problem, cells in places.items():
        yield ", ".join(place_in_words(cell) for cell in cells), problem


def accepting_in_words(gate: Gate) -> str:
    """How to accept figures that became worse; empty where none did, or where the contract does not hold."""
    files = [
        shlex.quote(f"{gate.folder}/{cell.folder}/measurement.json")
        for cell in gate.cells
        if cell.baseline is not None and cell.baseline.outcome is not Outcome.HOLDS
        if cell.verdict is not None and cell.verdict.outcome is Outcome.HOLDS
    ]
    if not files or gate.baseline is None:
        return ""
    saving = f"edgedeploy baseline save {shlex.quote(gate.baseline)} {' '.join(files)}"
    return f"To accept these figures, save them and say why: {saving}"
