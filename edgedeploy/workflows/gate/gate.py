"""Gate models in CI: contracts held on emulated boards that count instructions, and figures against a baseline."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.forced_end import at_forced_end
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.values.baseline import Baseline
from edgedeploy.values.contract import Contract
from edgedeploy.values.gate import Gate
from edgedeploy.verdict.baseline import save_baseline, updated
from edgedeploy.workflows.gate.boards import gate_board
from edgedeploy.workflows.gate.cell import CellResult, has_entry, run_cell
from edgedeploy.workflows.gate.files import make_room, write_cell
from edgedeploy.workflows.gate.request import GateRequest, GateSettings, problem_of, resolve_gate
from edgedeploy.workflows.gate.run import GateRun, Key

DEFAULT_TARGET = "rpi4"


def gate(
    contracts: Sequence[Path],
    *,
    targets: Sequence[str] = (DEFAULT_TARGET,),
    settings: GateSettings | None = None,
    out: Path,
    progress: Progress = SILENT,
) -> Gate:
    """Ship each contract's model to an emulated board of each target, and hold it against contract and baseline.

    Contracts, models, data, targets and the baseline are checked first: with a mistake in any, no board is booted. Each
    target has one board, which goes down when the last contract is through, or when this process is ended. What fails
    for one contract or target does not keep others from being gated.

    Args:
        contracts: files, as `load_contract` takes them.
        targets: names, as `load_target` takes them.
        out: gets `gate.json`, `junit.xml`, `summary.md` and `metrics.txt`, also where the run fails or is stopped; and
            in `MODEL/TARGET/` the report, the measurement and a summary of each.

    Returns:
        What was found, errors included: they are values here. `exit_code` is what the command ends with.

    Raises:
        HostError: `out` cannot be written.
    """
    settings = settings or GateSettings()
    contracts, targets = tuple(dict.fromkeys(contracts)), tuple(dict.fromkeys(targets))
    run = GateRun(contracts, targets, settings.baseline, out)
    make_room(out, ())
    with at_forced_end(run.write_stopped):
        try:
            _gate(run, contracts, targets, settings, progress)
        except BaseException as error:
            run.end(error)
            # The signal or the mistake is what the caller has to see.
            with contextlib.suppress(EdgedeployError):
                run.write()
            raise
        run.write()
    return run.result()


def _gate(
    run: GateRun, paths: Sequence[Path], targets: Sequence[str], settings: GateSettings, progress: Progress
) -> None:
    request = resolve_gate(paths, targets, settings, progress)
    for path, contract in request.contracts.items():
        run.name(path, contract)
    for at, problem in request.mistakes.items():
        if at is None:
            run.problems.append(problem)
        elif isinstance(at, Path):
            run.fail(problem, contract=str(at))
        else:
            run.fail(problem, target=at)
    if request.mistakes:
        return
    make_room(run.out, run.cells.values())
    measured: dict[Key, Baseline] = {}
    for target in targets:
        try:
            with gate_board(target, minimal=settings.minimal, progress=progress) as board:
                for path, contract in request.contracts.items():
                    key = str(path), target
                    with run.cell(key):
                        shown = _named(progress, contract, target, alone=len(run.cells) == 1)
                        result = run_cell(run.cells[key], contract, board, request.baseline, settings, shown)
                        measured[key] = result.measured
                        _take(run, key, result)
        except EdgedeployError as error:
            _lost(run, target, error)
    if settings.save and settings.baseline is not None:
        _save(run, request, measured, settings.baseline)


def _take(run: GateRun, key: Key, result: CellResult) -> None:
    run.shipments[key] = result.shipment
    run.cells[key] = structs.replace(result.cell, started_at=run.cells[key].started_at)
    write_cell(run.out, result.cell, result.shipment)


def _lost(run: GateRun, target: str, error: EdgedeployError) -> None:
    """Take an error of a board: it is that of the cells which got none, or else of the clean-up, and only a warning."""
    problem = problem_of(error)
    if any(cell.target == target and cell.state == "not run" for cell in run.cells.values()):
        run.fail(problem, target=target)
    else:
        run.warnings.append(f"The board of {target} could not be shut down: {error.what}.")


def _save(run: GateRun, request: GateRequest, measured: dict[Key, Baseline], path: Path) -> None:
    """Write the baseline, where everything holds: figures that are worse are not to become what is gated against."""
    old = request.baseline
    if old is None or not run.result().holds:
        return
    new = old
    for entry in measured.values():
        new = updated(new, entry)
    try:
        save_baseline(new, path)
    except EdgedeployError as error:
        run.problems.append(problem_of(error))
        return
    for key, entry in measured.items():
        run.cells[key] = structs.replace(run.cells[key], saved="replaced" if has_entry(old, entry) else "made")


def _named(progress: Progress, contract: Contract, target: str, *, alone: bool) -> Progress:
    return progress if alone else _OfCell(progress, f"{contract.model.name} on {target}")


class _OfCell:
    """Says of each step which contract and target it is for. A `Progress`."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def step(self, text: str) -> None:
        self._progress.step(f"{self._name}: {text}")

    def advance(self, done: int, total: int | None, unit: str) -> None:
        self._progress.advance(done, total, unit)

    def note(self, text: str) -> None:
        self._progress.note(text)
