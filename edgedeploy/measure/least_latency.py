"""What no inference of a release can be faster than on its target, and what to say of one that is."""

from __future__ import annotations

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.units import milliseconds
from edgedeploy.targets.load import load_target
from edgedeploy.targets.roofline import least_latency_ms
from edgedeploy.values.bundle import Release

_BRANCHING = frozenset({"if", "loop", "scan", "while", "call_once"})
"""Operators with which the work depends on the data."""
_LOOKUPS = ("gather", "lookup")
"""Parts of the names of operators that read a few rows of a table (Gather, GatherND, EMBEDDING_LOOKUP …)."""


def release_least_ms(release: Release) -> float | None:
    """Return the roofline bound of one inference; None where the target or the work is not known.

    Source: `targets.roofline`.
    """
    manifest = release.manifest
    try:
        target = load_target(manifest.target)
    except EdgedeployError:
        # The release may come from another machine, whose targets are not here.
        return None
    operators = {name.lower() for name in manifest.model.operators}
    if operators & _BRANCHING:
        return None
    reads_few_rows = any(part in name for name in operators for part in _LOOKUPS)
    weight_bytes = 0 if reads_few_rows else manifest.model.size_bytes
    return least_latency_ms(target, macs=manifest.model.macs, weight_bytes=weight_bytes)


def too_fast_in_words(median_ms: float, least_ms: float | None, board: str) -> str:
    """`"p50 is 0.1 ms, and a rpi4 needs at least 2 ms"`; empty where the median is possible, or no bound is known.

    Args:
        board: with its article.
    """
    if least_ms is None or median_ms >= least_ms:
        return ""
    return f"p50 is {milliseconds(median_ms)}, and {board} needs at least {milliseconds(least_ms)}"
