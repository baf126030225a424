"""What ten minutes with a board showed: `edgedeploy smoke`, and the kit that runs on a board by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

Key = Literal[
    "board", "fits", "release", "files", "golden", "measurement",
    "temperature", "throttling", "voltage", "memory", "disk", "clock",
]  # fmt: skip
"""What is looked at, in the order in which it is shown."""


class CheckState(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NOT_DETERMINED = "cannot be told"


class SmokeLine(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    key: Key
    state: CheckState
    figure: str
    """What was seen, in words; why it failed, or why it cannot be told."""
    hint: str = field(name="mend", default="")
    """What to do next; empty where nothing has to be done, or nobody knows what."""


class SmokeRelease(Struct, frozen=True, kw_only=True):
    """Which release it was."""

    name: str
    id: str
    """As on a device: the version, and the first 12 digits of the bundle's SHA-256."""
    target: str


class SmokeFigures(Struct, frozen=True, kw_only=True):
    """The measurement, too short for a contract: `edgedeploy bench` makes one that is not."""

    clock: Literal["device", "emulated", "counted", "checks"]
    """`"emulated"` is no latency; `"counted"`: instructions in place of times; `"checks"`: only whole health checks
    were repeated, because the bundle's runner measures nothing by itself."""
    n: int
    """Inferences; of `"checks"`, checks."""
    p50_ms: float | None = None
    p90_ms: float | None = None
    """None with fewer samples than it needs."""
    load_ms: float | None = None
    instructions: float | None = None
    """Of one inference, the median."""
    peak_rss_bytes: int | None = None


class Smoke(Struct, frozen=True, kw_only=True):
    """One smoke test."""

    schema: int
    edgedeploy: str
    """Version of edgedeploy that made it, or that made the kit."""
    device: str
    """The address, or the host name that the board gives itself where a kit ran on it."""
    taken_at: str
    """UTC, ISO 8601; of a kit's result by the board's own clock."""
    passed: bool
    """No line failed, and the golden test could be told."""
    lines: tuple[SmokeLine, ...]
    """All of `SmokeLine.key`, in its order."""
    release: SmokeRelease | None = None
    """None where it did not come so far."""
    figures: SmokeFigures | None = None
