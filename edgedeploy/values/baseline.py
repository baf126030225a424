"""What releases measured when they were last found to be good: a file in the user's repository."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["counted", "emulated", "device"]
"""A board whose clock counts instructions; an emulated one, whose time is none; a device with a clock of its own."""


class CountedRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Guest instructions of one inference, in one process on a counting board."""

    median: float
    low: float
    high: float
    """Bounds of the median's confidence interval; the median itself where there are too few inferences for one."""


class BaselineAccuracy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How good the answers on the device were."""

    metric: str
    value: float
    samples: int


class BaselineEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model on one kind of board. A run is one process, so one measurement file."""

    name: str
    target: str
    kind: Kind
    release: str
    """The release that was measured, for display; other releases are compared with its figures."""
    cpu: str
    cpu_features: tuple[str, ...]
    """Sorted. Kernels are chosen by them: work on another processor is other work."""
    runtime: dict[str, str]
    emulator: str | None = None
    """The emulator and its version; None of real devices, and in files of earlier versions."""
    os: str | None = None
    """The board's or device's system; None in files of earlier versions."""
    model_size_bytes: int
    instructions: tuple[CountedRun, ...] = ()
    latency_p50_ms: tuple[float, ...] = ()
    peak_rss_bytes: tuple[int, ...] = ()
    accuracy: BaselineAccuracy | None = None
    """On the device, for `edgedeploy trend`: nothing is held against it, since contracts limit accuracy."""


class Baseline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries are in order of name, target and kind, so that the file changes only where figures do."""

    schema: int
    entries: tuple[BaselineEntry, ...] = ()


class Thresholds(Struct, frozen=True, kw_only=True):
    """The least relative growth that is a regression, by figure, where its noise is not larger."""

    instructions: float = 0.005
    """Ten times what the same work differs by from boot to boot and more, and less than any change that matters."""
    latency: float = 0.05
    memory: float = 0.05
    size: float = 0.01
