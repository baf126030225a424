"""What a device can report: figures outside these bounds are wrong, whatever the device is.

A device is not trusted, and sensors, clocks and kernels fail. A figure that cannot be is dropped where it is parsed, so
that it is «not determined» from there on and holds no contract. The bounds are far from what any board reaches.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from msgspec import Struct, structs

LONGEST_MS = 1e9
"""Of one load or inference: eleven days. The longest run takes half an hour."""
LONGEST_S = LONGEST_MS / 1e3
LARGEST_BYTES = 1 << 50
LARGEST_COUNT = 1 << 62
"""Of instructions or parameters."""

_Bounds = tuple[float, float]
_MEMORY: _Bounds = (1, LARGEST_BYTES)
_FREE: _Bounds = (0, LARGEST_BYTES)
_DURATION_MS: _Bounds = (0, LONGEST_MS)
_CPU_S: _Bounds = (0, 1e12)
_BOUNDS: dict[str, _Bounds] = {
    "memory_total_bytes": _MEMORY,
    "memory_available_bytes": _FREE,
    "swap_used_bytes": _FREE,
    "peak_rss_bytes": _MEMORY,
    "rss_bytes": _MEMORY,
    "pss_bytes": _MEMORY,
    "import_ms": _DURATION_MS,
    "load_ms": _DURATION_MS,
    "first_inference_ms": _DURATION_MS,
    "cold_import_ms": _DURATION_MS,
    "cold_load_ms": _DURATION_MS,
    "load_average_1min": (0, 1e6),
    "temperature_c": (-100, 500),
    "clock_mhz": (1e-3, 1e6),
    "clock_max_mhz": (1e-3, 1e6),
    "throttled": (0, (1 << 32) - 1),
    "cooling": (0, 1e6),
    "power_w": (0, 1e5),
    "energy_mj": (0, 1e12),
    "cpu_busy_s": _CPU_S,
    "cpu_own_s": _CPU_S,
    "top1_match": (0, 1),
    "text_match": (0, 1),
}
"""By the name of a field that may be None, both ends included."""

_Figure = TypeVar("_Figure", int, float)
_Record = TypeVar("_Record", bound=Struct)


def possible(name: str, figure: _Figure | None) -> _Figure | None:
    """Return a figure that a device reported, or None where no device can have it: NaN, infinite, out of bounds.

    Args:
        name: of the field that it is for, e.g. `"peak_rss_bytes"`.
    """
    low, high = _BOUNDS[name]
    return figure if figure is not None and low <= figure <= high else None


def only_possible(record: _Record) -> _Record:
    """Return a record whose fields that may be None are None where their figure is impossible; also of the records in
    it. Fields that have to be there stay: `impossible_reason` looks at those that a verdict needs.
    """
    changes: dict[str, Any] = {}
    for field in structs.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Struct):
            changes[field.name] = only_possible(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Struct):
            changes[field.name] = tuple(only_possible(item) for item in value)
        elif field.name in _BOUNDS and isinstance(value, (int, float)) and possible(field.name, value) is None:
            changes[field.name] = None
    if "import_ms" in changes and hasattr(record, "load_ms"):
        changes["load_ms"] = None  # a start is both: the rest alone would be too short
    return structs.replace(record, **changes) if changes else record


def impossible_reason(kind: str, figure: float) -> str:
    """Return why a measured figure cannot be, for people; empty where it can.

    Args:
        kind: of its limit, as in `values.contract.LimitRule`; of `"metric"` and `"drop"` any finite number can be.
    """
    low, high = {
        "bytes": (1.0, float(LARGEST_BYTES)),
        "ms": (math.ulp(0.0), LONGEST_MS),
        "count": (0.0, float(LARGEST_COUNT)),
        "share": (-math.inf, 1.0),
    }.get(kind, (-math.inf, math.inf))
    if math.isfinite(figure) and low <= figure <= high:
        return ""
    unit = f" {kind}" if kind in ("bytes", "ms") else ""
    return f"{figure:g}{unit} was reported, which cannot be: measure again, and check the device".replace("-", "−", 1)
