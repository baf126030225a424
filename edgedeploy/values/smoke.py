"""The result of a smoke test: of `edgedeploy smoke`, or of the kit that runs on a board by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

Key = Literal[
    "board", "fits", "release", "files", "golden", "measurement",
    "temperature", "throttling", "voltage", "memory", "disk", "clock",
]  # fmt: skip
"""What is checked, in the order in which it is shown."""


class CheckState(StrEnum):
    """The state of a line. The values are those of JSON; `report.content.wording.CHECK_WORDS` has the printed words."""

    OK = "ok"
    FAILED = "failed"
    NOT_DETERMINED = "cannot be told"


class SmokeLine(Struct, frozen=True, kw_only=True):
    """One check of a smoke test."""

    key: Key
    state: CheckState
    figure: str
    """What was seen, in words; or why it failed or is not determined."""
    hint: str = field(name="mend", default="")
    """What to do next; empty where nothing has to be done, or it is not known what."""


class SmokeRelease(Struct, frozen=True, kw_only=True):
    """Which release it was."""

    name: str
    id: str
    """As on a device: the version, and the first 12 digits of the bundle's SHA-256."""
    target: str
    awaits_verdict: bool = False
    """`ship` made it current on the device and has not judged it: it was stopped, or is still at work."""
    verdict: Literal["holds", "breaks", "cannot be told"] | None = None
    """What the last `ship` with it found; None when none did, and on a kit."""


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
    """No line failed, and the release's files and golden outputs were verified."""
    lines: tuple[SmokeLine, ...]
    """All of `SmokeLine.key`, in its order."""
    release: SmokeRelease | None = None
    """None where the test did not get so far."""
    figures: SmokeFigures | None = None
