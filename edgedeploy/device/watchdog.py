"""Devices that say nothing any more."""

from __future__ import annotations

import threading
import time

from edgedeploy.device.connection import Process


class SilenceLimit:
    """A context manager around waiting for a process: one that is silent for too long is killed, which wakes whoever
    waits. One thread for a whole conversation, since a message may take no more than microseconds."""

    def __init__(self, process: Process, limit_s: float) -> None:
        self.limit_s = limit_s
        self.exceeded = False
        self._process = process
        self._waiting_since: float | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> None:
        self._waiting_since = time.monotonic()

    def __exit__(self, *exc: object) -> None:
        self._waiting_since = None

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self.limit_s)):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self.limit_s:
                self.exceeded = True
                self._process.kill()
                return
