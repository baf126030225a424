"""The result of one `gate`: what its summary shows, and what `gate.json` contains."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgedeploy.values.contract import Verdict
from edgedeploy.values.quality import MetricFigure

GateState = Literal["holds", "breaks", "not determined", "error", "stopped", "not run"]
"""Of one contract on one target. `stopped`: a signal ended the run while it was at work."""


class GateProblem(Struct, frozen=True, kw_only=True):
    """Why there is no verdict: the error that a command of its own would have ended with."""

    exit_code: int
    what: str
    why: str = ""
    hint: str = ""


class GateCell(Struct, frozen=True, kw_only=True):
    """One contract on one target."""

    contract: str
    """The contract file, as it was given."""
    target: str
    name: str = ""
    """Of the model, as `version`; empty where the contract could not be read."""
    version: str = ""
    state: GateState = "not run"
    started_at: str = ""
    """UTC, ISO 8601; empty where it did not begin."""
    seconds: float = 0.0
    """From the start of its work to the verdict, the board's boot not included."""
    backend: str = ""
    """That the model was built with; empty where it was not."""
    emulator: str | None = None
    """The board's emulator and its version."""
    verdict: Verdict | None = None
    """The contract's."""
    baseline: Verdict | None = None
    """The figures against the baseline; None without one, and where it has no such entry and is to get it."""
    saved: Literal["made", "replaced"] | None = None
    """What was done with this model's and target's entry of the baseline file."""
    instructions: float | None = None
    """Of one inference: work, not a latency."""
    model_size_bytes: int | None = None
    metric: MetricFigure | None = None
    """On the board."""
    warnings: tuple[str, ...] = ()
    """A sentence each."""
    problem: GateProblem | None = None
    """Of the states `error` and `stopped`."""
    folder: str | None = None
    """Where its report and measurement are, relative to the folder of all."""


class Gate(Struct, frozen=True, kw_only=True):
    """One run of `gate`."""

    schema: int
    edgedeploy: str
    """Version of edgedeploy."""
    started_at: str
    """UTC, ISO 8601."""
    seconds: float
    holds: bool
    """Whether each contract holds on each target, and no figure is worse than in the baseline."""
    exit_code: int
    """Of the command: 0 if all holds; else 1 if something breaks or is not determined; else that of the first
    problem."""
    folder: str
    """Of its files, as it was given."""
    baseline: str | None = None
    """The baseline file, as it was given."""
    cells: tuple[GateCell, ...] = ()
    """By contract, then target, in the order in which they were given."""
    problems: tuple[GateProblem, ...] = ()
    """Those that are of no single cell."""
    warnings: tuple[str, ...] = ()
