"""What applying a recipe gave."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.optimize.guard.result import GuardResult
from edgedeploy.values.evidence import LayerNoise, PassEvidence
from edgedeploy.values.search import Search


class OptimizeOutcome(Struct, frozen=True, kw_only=True):
    """A result, accepted or not."""

    content: bytes
    """The result, serialized. Of a search: the one that was accepted or, when none was, the one that looked best."""
    passes: tuple[PassEvidence, ...]
    guard_result: GuardResult
    layers: tuple[LayerNoise, ...] = ()
    search: Search | None = None
    """What was tried, when the recipe is a search."""
