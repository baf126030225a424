"""Features of cores by Linux's names, where one follows from another."""

from __future__ import annotations

from collections.abc import Iterable

# Every 64-bit Arm core with Advanced SIMD that also runs 32-bit programs has all of Armv7-A's there, which a 64-bit
# kernel does not list: https://developer.arm.com/documentation/ddi0487/latest, G1.
_IMPLIED = {
    "asimd": ("half", "thumb", "fastmult", "vfp", "edsp", "neon", "vfpv3", "vfpv4", "vfpd32", "idiva", "idivt", "lpae"),
    "neon": ("vfp", "vfpv3", "vfpd32"),
    "vfpv4": ("vfp", "vfpv3"),
    "vfpv3": ("vfp",),
    "vfpv3d16": ("vfp", "vfpv3"),
}


def with_implied(features: Iterable[str]) -> frozenset[str]:
    """The features, and those that every core with them has."""
    found = set(features)
    waiting = list(found)
    while waiting:
        new = [each for each in _IMPLIED.get(waiting.pop(), ()) if each not in found]
        found.update(new)
        waiting += new
    return frozenset(found)
