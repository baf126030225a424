"""What happens in the middle of a transfer: a lost connection, a power cut, somebody else."""

from __future__ import annotations

from collections.abc import Callable


class WhileSending:
    """A `Progress` that acts once, when so many bytes of the contents have been taken by the network."""

    def __init__(self, after_bytes: int, act: Callable[[], object]) -> None:
        self._after_bytes = after_bytes
        self._act: Callable[[], object] | None = act

    def step(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def advance(self, done: int, total: int, unit: str) -> None:
        if self._act is not None and done >= self._after_bytes:
            act, self._act = self._act, None
            act()
