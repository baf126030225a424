"""How the figures of a baseline changed over the commits of its file: what `edgedeploy trend` shows."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.values.baseline import BaselineAccuracy, Kind


class TrendCommit(Struct, frozen=True, kw_only=True):
    """A commit that changed the baseline file."""

    commit: str
    """Its hash in full, in hexadecimal digits."""
    author: str
    when: str
    """When it was written, ISO 8601."""
    subject: str
    """The first line of its message. As the author: anybody's words."""


class TrendPoint(Struct, frozen=True, kw_only=True):
    """The figures of one model on one kind of board, as a commit left them."""

    at: int
    """The number of the commit in `Trend.commits`, from 0."""
    release: str
    model_size_bytes: int
    instructions: float | None = None
    """Guest instructions of an inference: the median of the runs' medians. Work, not a latency."""
    latency_p50_ms: float | None = None
    """Of a real board, the median of the runs."""
    accuracy: BaselineAccuracy | None = None
    emulator: str | None = None


class TrendSeries(Struct, frozen=True, kw_only=True):
    """One model on one kind of board, over the commits."""

    name: str
    target: str
    kind: Kind
    points: tuple[TrendPoint, ...]
    """In the order of the commits; only of those that changed its entry."""


class Trend(Struct, frozen=True, kw_only=True):
    """The history of a baseline file."""

    schema: int
    baseline: str
    """The file, as it was given."""
    commits: tuple[TrendCommit, ...]
    """Those that left a baseline which this edgedeploy reads, the oldest first."""
    series: tuple[TrendSeries, ...]
    unreadable: tuple[str, ...] = ()
    """Hashes of the commits that left none."""
    is_cut: bool = False
    """Whether there are older commits than were asked for."""
