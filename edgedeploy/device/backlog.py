"""When to stop reading from a command that has ended: children that it left behind may keep its streams open."""

from __future__ import annotations

import time

POLL_S = 0.25
"""How often a wait for a command's output looks whether the command has ended."""
QUIET_S = 2.0
"""A network that brings less than `_TRICKLE_BYTES` in this time has brought what the command itself wrote."""
_TRICKLE_BYTES = 4 << 10
_WHOLE_S = 60.0
_WHOLE_BYTES = 4 << 20
"""What is under way when a command ends fits the SSH channel's window (2 MiB) and a pipe (64 KiB). More is others'."""


class Backlog:
    """What is still to come of a command's output once the command has ended.

    What it wrote before comes as quickly as the network carries it, and is read. What trickles on after that, or goes
    on and on, is written by children that it left behind, and is no reason to wait.
    """

    def __init__(self) -> None:
        self._ended_at: float | None = None
        self._slice_began_at = 0.0
        self._slice_bytes = 0
        self._bytes = 0

    def took(self, count: int) -> None:
        """Count bytes that were read after the command had ended."""
        if self._ended_at is not None:
            self._slice_bytes += count
            self._bytes += count

    def is_over(self) -> bool:
        """Tell whether to read no longer. The first call says that the command has ended."""
        now = time.monotonic()
        if self._ended_at is None:
            self._ended_at = self._slice_began_at = now
        if now - self._slice_began_at >= QUIET_S:
            if self._slice_bytes < _TRICKLE_BYTES:
                return True
            self._slice_began_at, self._slice_bytes = now, 0
        return now - self._ended_at >= _WHOLE_S or self._bytes >= _WHOLE_BYTES
