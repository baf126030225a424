"""What the guard found: violations, notes and figures."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from msgspec import Struct

from edgedeploy.values.contract import Allowance
from edgedeploy.values.evidence import Execution
from edgedeploy.values.quality import MetricFigure, MetricTrust
from edgedeploy.values.speed import SpeedFigure


class ViolationKind(StrEnum):
    """In what way a result is worse than the model it was made from."""

    LARGER = "larger"
    INVALID = "invalid"
    """The source is valid ONNX, the result is not."""
    DOES_NOT_LOAD = "does not load"
    DOES_NOT_RUN = "does not run"
    """On the data, on the board, or where its speed is judged."""
    UNJUDGED = "unjudged"
    """There is nothing to run it on, or the source gives no numbers to compare with."""
    NON_FINITE = "non-finite"
    """NaN or infinity where the source gives numbers."""
    OUTPUTS_MOVED = "outputs moved"
    """By more than the tolerance of a recipe that promises to keep results."""
    METRIC_FELL = "metric fell"
    DISAGREES = "disagrees"
    """Without labels: too much noise, or too many answers changed."""
    GROUP_DISAGREES = "group disagrees"
    """A group of channels that means something else than its neighbors is mostly noise, whatever the metric says."""
    SLOWER = "slower"

    @property
    def allowance(self) -> Allowance | None:
        """By which name a user may allow it; None: it is never let through."""
        return _ALLOWANCES.get(self)


_ALLOWANCES: dict[ViolationKind, Allowance] = {
    ViolationKind.LARGER: "larger",
    ViolationKind.UNJUDGED: "unjudged",
    ViolationKind.OUTPUTS_MOVED: "loss",
    ViolationKind.METRIC_FELL: "loss",
    ViolationKind.DISAGREES: "loss",
    ViolationKind.GROUP_DISAGREES: "loss",
    ViolationKind.SLOWER: "slower",
}


class Violation(Struct, frozen=True):
    """Why a result must not leave `optimize`."""

    kind: ViolationKind
    reason: str
    """For people, with its figures."""

    @property
    def allowance(self) -> Allowance | None:
        """By which name a user may allow it; None: it is never let through."""
        return self.kind.allowance


class GuardResult(Struct, frozen=True, kw_only=True):
    """What holding a result against its source gave."""

    violations: tuple[Violation, ...]
    """Those that were not allowed; the result must not leave unless this is empty."""
    notes: tuple[str, ...]
    """What is to be known all the same."""
    loads: bool = True
    """Whether the runtime loads the result."""
    source_metric: MetricFigure | None = None
    metric_trust: MetricTrust | None = None
    """None without a metric, and where it could not be tried."""
    executions: tuple[Execution, ...] = ()
    speed: SpeedFigure | None = None
    """None when it was not judged."""

    @property
    def accepted(self) -> bool:
        """Whether there is no violation."""
        return not self.violations

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the result must not leave, and what would allow it; empty when it may leave."""
        return tuple(
            violation.reason + (_way_through(violation.allowance) if violation.allowance else "")
            for violation in self.violations
        )


def _way_through(allowance: str) -> str:
    # `ship` and `compile` have no such option: there the contract says what is allowed.
    return f' (to let it through: `edgedeploy optimize --allow {allowance}`, or in a contract allow = ["{allowance}"])'


class Findings:
    """Collects violations and notes while a result is judged, in the order they are found."""

    def __init__(self, allowed: Collection[Allowance]) -> None:
        """
        Args:
            allowed: violations with these allowances become notes.
        """
        self._allowed = frozenset(allowed)
        self._violations: list[Violation] = []
        self._notes: list[str] = []

    def add(self, violation: Violation) -> None:
        """Keep a violation, or a note of it where it is allowed."""
        if violation.allowance in self._allowed:
            self.note(f"allowed by name ({violation.allowance}): {violation.reason}")
        else:
            self._violations.append(violation)

    def violate(self, kind: ViolationKind, reason: str) -> None:
        """Keep a violation of this kind."""
        self.add(Violation(kind, reason))

    def note(self, text: str) -> None:
        """Keep something to be known that does not stop the result."""
        self._notes.append(text)

    def result(self, **figures: Any) -> GuardResult:
        """Return all that was found.

        Args:
            figures: other fields of `GuardResult`.
        """
        return GuardResult(violations=tuple(self._violations), notes=tuple(self._notes), **figures)
