"""A real OpenSSH server on loopback, as the user who runs the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_sshd import Server, serve


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Server]:
    """A server whose device home belongs to this test alone."""
    with serve(tmp_path / "sshd", tmp_path / "device home") as server:
        yield server


@pytest.fixture
def new_sshd(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A maker of further servers."""
    with contextlib.ExitStack() as stack:

        def make(name: str, **options: Any) -> Server:
            return stack.enter_context(serve(tmp_path / name, tmp_path / f"{name} home", **options))

        yield make
