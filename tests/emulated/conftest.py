"""Emulated boards for all tests of a process, in the developer's cache (an image takes a while to build).

What is brought to a board once is there for the next test: the runtime alone takes half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgedeploy.device.emulator.board import BoardStatus, board_down, board_list, emulated_board


@pytest.fixture(scope="session")
def board() -> Iterator[BoardStatus]:
    """A board of target `rpi4`, of bookworm, that is up: `.name`, `.address`. Who cuts its power brings it up again."""
    for other in board_list():
        owner = other.name.removeprefix("pytest-").partition("-")[0]
        if other.name.startswith("pytest-") and not Path(f"/proc/{owner}").exists():
            board_down(other.name, delete=True)  # of a session that was killed
    with emulated_board(f"pytest-{os.getpid()}", target="rpi4", os="bookworm", delete=True) as status:
        yield status


@pytest.fixture(scope="session")
def counting(board: BoardStatus) -> Iterator[BoardStatus]:
    """The board beside it whose clock counts instructions: the one that the guard takes for it."""
    name = f"{board.name}-counting"
    with emulated_board(name, target="rpi4", os="bookworm", counting=True, delete=True) as status:
        yield status
