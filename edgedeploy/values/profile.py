"""A model's time or work, operator by operator."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class ProfiledNode(Struct, frozen=True, kw_only=True):
    """One node of the graph that the runtime made of the model."""

    name: str
    operator: str
    """Its type, e.g. `"Conv"`; the runtime's own ones too, such as `"ReorderOutput"`."""
    per_inference: float
    """In the profile's unit."""
    share: float
    """Of all nodes, in [0, 1]."""
    output: str = ""
    """Type and shape of its first output, e.g. `"uint8 1x16x24x96"`: to tell nodes apart whose names were stripped."""


class ProfiledOperator(Struct, frozen=True, kw_only=True):
    """All nodes of one type."""

    operator: str
    nodes: int
    per_inference: float
    share: float


class Profile(Struct, frozen=True, kw_only=True):
    """The runtime's own profiler, over some inferences of the golden inputs. The profiler takes time itself, most of
    all where nodes are many and small: what matters are the shares."""

    device: str
    name: str
    release: str
    unit: Literal["us", "instructions", "emulated us"]
    """Microseconds of a device; guest instructions of a counting board; or microseconds of an emulated board's
    wall-clock, which are no latency."""
    runs: int
    per_inference: float
    """All nodes together."""
    by_operator: tuple[ProfiledOperator, ...]
    """The largest first."""
    nodes: tuple[ProfiledNode, ...]
    """The largest first."""
