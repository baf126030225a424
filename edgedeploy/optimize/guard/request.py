"""What the guard is asked to hold results against."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.inference.formats import ModelFormat, format_of
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.values.contract import Allowance


class GuardRequest(Struct, frozen=True, kw_only=True):
    """A source, and all that decides whether a result made from it may leave `optimize`."""

    source: bytes
    """Serialized, in one piece."""
    source_size_bytes: int
    """Of the source as it came, external data included."""
    evaluation: Evaluation | None
    """None when there is nothing to run models on."""
    speed: SpeedJudge | None = None
    """Compares how fast source and result are; None leaves that unjudged."""
    speed_unjudged: str = ""
    """Why nobody judges speed; empty where somebody does, or no reason is known."""
    board: Board | None = None
    """Runs the result too, on as many samples as it has time for; None for none."""
    allowed: frozenset[Allowance] = frozenset()
    """Violations with these allowances are notes only."""

    @property
    def format(self) -> ModelFormat:
        """Of source and result."""
        return format_of(self.source[:8])
