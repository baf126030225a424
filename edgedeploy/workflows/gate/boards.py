"""Boards of the gate: each counts instructions, is one run's only, and goes down with it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from edgedeploy.device.emulator.board import BoardStatus, emulated_board
from edgedeploy.device.emulator.state import board_folder
from edgedeploy.foundation.errors import BusyError
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.targets.load import load_target

_MOST_BOARDS = 8
"""Of one kind, at the same time: each has a disk of 2 GB."""
_LONGEST = 28
"""Characters of a name, so that a number has room behind it: a board's name has 32 at most."""


@contextlib.contextmanager
def gate_board(target: str, *, minimal: bool, progress: Progress) -> Iterator[BoardStatus]:
    """Keep a board of this target up for the length of a `with` block. Another gate on this machine has another one.

    Where the block or this process is ended, the board goes down with it.

    Raises:
        BusyError: so many gates are at work that there is no board left.
        EdgedeployError: as `board_up` says.
    """
    for number in range(1, _MOST_BOARDS + 1):
        name = board_name(target, minimal=minimal, number=number)
        path = board_folder(name)
        with contextlib.ExitStack() as stack:
            try:
                what = f"gating on board {name}"
                stack.enter_context(exclusive(path.with_name(f"{path.name}.gate"), what, SILENT, patience_s=0.0))
            except BusyError:
                continue
            yield stack.enter_context(
                emulated_board(
                    name,
                    target=target,
                    os=_release(target),
                    counting=True,
                    minimal=minimal or None,
                    progress=progress,
                )
            )
            return
    raise BusyError(f"{_MOST_BOARDS} gates on boards of target {target} are at work", hint="wait for one of them")


def _release(target: str) -> str | None:
    """Choose a board's system by its target alone: counts of another one differ, whichever machine boots it."""
    name, _, release = target.partition(":")
    emulation = load_target(name).emulation
    return release or (emulation.debian_release if emulation else None)


def board_name(target: str, *, minimal: bool, number: int = 1) -> str:
    """Name the board of a target: the same in each run, so that its disk and image are made once."""
    name = f"gate-{target}".replace(":", "-") + ("-minimal" if minimal else "")
    if len(name) > _LONGEST or name != name.lower():
        name = f"gate-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return name if number == 1 else f"{name}-{number}"
