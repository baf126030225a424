"""What has to change in a graph when channels go: weights lose slices, and numbers that count channels shrink.

An edit names its node by the node's place in the graph, so that it can be made in any copy of the model. Channels are
given by their ids in `ChannelSets`: int64, a vector.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct


class Cut(Struct, frozen=True, kw_only=True, eq=False):
    """A constant operand loses the slices of removed channels."""

    node: int
    """Place of the node in the main graph."""
    position: int
    """Of the operand among the node's inputs."""
    axis: int
    ids: np.ndarray
    """Shape (extent of the axis,)."""


class GroupCount(Struct, frozen=True, kw_only=True, eq=False):
    """A depthwise convolution has as many groups as its input has channels."""

    node: int
    ids: np.ndarray


class Extent(Struct, frozen=True, kw_only=True, eq=False):
    """An element of a constant operand that counts channels, as in the target of a Reshape."""

    node: int
    position: int
    element: int
    ids: np.ndarray
    """The channels that it counts."""


class SplitSizes(Struct, frozen=True, kw_only=True, eq=False):
    """The parts of a Split along channels."""

    node: int
    parts: tuple[np.ndarray, ...]


class SliceBounds(Struct, frozen=True, kw_only=True, eq=False):
    """Begin and end of a Slice along channels, in steps of one."""

    node: int
    entry: int
    """Which of the sliced axes it is."""
    before: np.ndarray
    """Channels in front of the slice."""
    inside: np.ndarray


class Selection(Struct, frozen=True, kw_only=True, eq=False):
    """The indices of a Gather along channels."""

    node: int
    indices: np.ndarray
    """int64, not negative; shape (indices,)."""
    ids: np.ndarray
    """Of the gathered value."""


Edit = Cut | GroupCount | Extent | SplitSizes | SliceBounds | Selection
