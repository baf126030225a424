"""What a gate knows so far: at any moment its result can be written, whatever ends the run."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import structs

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.values.contract import Contract
from edgedeploy.values.gate import Gate, GateCell, GateProblem, GateState
from edgedeploy.values.shipment import Shipment
from edgedeploy.workflows.gate.files import write_gate
from edgedeploy.workflows.gate.request import problem_of

SCHEMA = 1
_MISTAKE = 70
_INTERRUPTED = 130
Key = tuple[str, str]
"""A contract file, as it was given, and a target's name."""


class GateRun:
    """The cells of one run as they are now."""

    def __init__(self, paths: Sequence[Path], targets: Sequence[str], baseline: Path | None, out: Path) -> None:
        self.out = out
        self.cells: dict[Key, GateCell] = {
            (str(path), target): GateCell(contract=str(path), target=target) for path in paths for target in targets
        }
        self.shipments: dict[Key, Shipment] = {}
        self.problems: list[GateProblem] = []
        self.warnings: list[str] = []
        self._baseline = None if baseline is None else str(baseline)
        self._started_at, self._begun = _now(), time.monotonic()
        self._cells_begun: dict[Key, float] = {}

    def name(self, path: Path, contract: Contract) -> None:
        """Note what a contract is about."""
        for key, cell in self.cells.items():
            if cell.contract == str(path):
                model = contract.model
                folder = f"{model.name}/{cell.target.replace(':', '-')}"
                self.cells[key] = structs.replace(cell, name=model.name, version=model.version, folder=folder)

    def fail(self, problem: GateProblem, *, contract: str | None = None, target: str | None = None) -> None:
        """Note a problem with all cells of a contract, of a target or of both, that have no result."""
        for key, cell in self.cells.items():
            meant = cell.contract == (contract or cell.contract) and cell.target == (target or cell.target)
            if meant and cell.state == "not run":
                self.cells[key] = structs.replace(cell, state="error", problem=problem)

    @contextlib.contextmanager
    def cell(self, key: Key) -> Iterator[None]:
        """Work on a cell for the length of a block: note when, how long, and an error that ends it.

        What is no EdgedeployError goes on.
        """
        self.cells[key] = structs.replace(self.cells[key], started_at=_now())
        self._cells_begun[key] = time.monotonic()
        try:
            yield
        except EdgedeployError as error:
            self.cells[key] = structs.replace(self.cells[key], state="error", problem=problem_of(error))
        finally:
            begun = self._cells_begun.pop(key)
            self.cells[key] = structs.replace(self.cells[key], seconds=round(time.monotonic() - begun, 2))

    def end(self, error: BaseException) -> None:
        """Note that the run is ended by what is no answer: a signal, or a mistake of edgedeploy's own."""
        mistaken = isinstance(error, Exception)
        code = _MISTAKE if mistaken else getattr(error, "exit_code", _INTERRUPTED)
        what = "interrupted"
        if mistaken:
            what = f"edgedeploy made a mistake: {type(error).__name__}: {error}"
        elif str(error):
            what = f"stopped by {error}"
        self.stop(GateProblem(exit_code=code, what=what), state="error" if mistaken else "stopped")

    def stop(self, problem: GateProblem, *, state: GateState = "stopped") -> None:
        """Give the cell that was at work this state; one that has a result keeps it."""
        self.problems.append(problem)
        for key, cell in self.cells.items():
            if cell.started_at and cell.state == "not run":
                self.cells[key] = structs.replace(cell, state=state, problem=problem)

    def result(self) -> Gate:
        """Return the result as it is now."""
        cells = tuple(self.cells.values())
        problems = [*self.problems, *(cell.problem for cell in cells if cell.problem is not None)]
        answered_no = any(cell.state in ("breaks", "not determined") for cell in cells)
        holds = not problems and all(cell.state == "holds" for cell in cells)
        # A run that was stopped, or a mistake of ours, is no answer, whatever was found before.
        code = next((each.exit_code for each in self.problems if each.exit_code >= _MISTAKE), 1 if answered_no else 0)
        return Gate(
            schema=SCHEMA,
            edgedeploy=importlib.metadata.version("edgedeploy"),
            started_at=self._started_at,
            seconds=round(time.monotonic() - self._begun, 2),
            holds=holds,
            exit_code=code or (problems[0].exit_code if problems else 0),
            folder=str(self.out),
            baseline=self._baseline,
            cells=cells,
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
        )

    def write(self) -> None:
        """Write the result as it is now.

        Raises:
            HostError: it cannot be written.
        """
        write_gate(self.out, self.result(), self.shipments)

    def write_stopped(self, exit_code: int) -> None:
        """Write the result where the process is ended by force, while a library computes."""
        if not any(problem.exit_code >= _MISTAKE for problem in self.problems):
            self.stop(GateProblem(exit_code=exit_code, what="stopped by a signal, while a library computed"))
        self.write()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
