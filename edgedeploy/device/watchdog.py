"""End a process on a device that has been silent for too long."""

from __future__ import annotations

import threading
import time
from typing import Protocol

_LONGEST_LOOK_S = 1.0
_LOOKS = 10
"""How often the clock is looked at in the time allowed, at least."""


class Killable(Protocol):
    """A process that can be ended by another thread."""

    def kill(self) -> None: ...


class SilenceLimit:
    """A limit on how long one wait for a process may take: `with silence: wait`.

    A process that takes longer is killed, which wakes whoever waits; `exceeded` then says why. It may be entered many
    times, one wait after the other: there is one thread for a whole conversation, since a message may take no more than
    microseconds. `stop` ends that thread.

    Args:
        limit_s: for each wait, in seconds; None for no limit.
    """

    def __init__(self, process: Killable, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self.exceeded = False
        self._process = process
        self._waiting_since: float | None = None
        self._stopped = threading.Event()
        if limit_s is not None:
            threading.Thread(target=self._watch, args=(limit_s,), daemon=True).start()

    def __enter__(self) -> SilenceLimit:
        self._waiting_since = time.monotonic()
        return self

    def __exit__(self, *exc: object) -> None:
        self._waiting_since = None

    def stop(self) -> None:
        """Watch no longer. Safe to call twice."""
        self._stopped.set()

    def _watch(self, limit_s: float) -> None:
        while not self._stopped.wait(min(_LONGEST_LOOK_S, limit_s / _LOOKS)):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > limit_s:
                self.exceeded = True
                self._process.kill()
                return
