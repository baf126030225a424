"""The protocol by which long work reports its progress."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener. The CLI draws it on a terminal; tests and scripts may keep it."""

    def step(self, text: str) -> None:
        """A new piece of work begins; `text` says which («calibrating on 128 samples»)."""

    def advance(self, done: int, total: int | None, unit: str) -> None:
        """`done` of `total` units (None: not known) of the current step are finished."""

    def note(self, text: str) -> None:
        """Something worth a line that is not an error («cached», «3 of 214 files to send»)."""


class _Silent:
    def step(self, text: str) -> None:
        pass

    def advance(self, done: int, total: int | None, unit: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()
"""Listens to nothing: the default of every function that takes a `progress`."""
