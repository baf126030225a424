"""This machine as the device, and devices that fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.device_store import FakeTool

from edgedeploy.device.local import LocalConnection


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The device's home folder. Reached under a path with spaces and a quote, in every test."""
    return tmp_path / "a device's home"


@pytest.fixture
def device(home: Path) -> LocalConnection:
    return LocalConnection("local:", home)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """A maker of tools that the device finds before its own."""
    folder = tmp_path / "fake tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A maker of a file system of so many MiB, mounted for the length of the test."""
    if os.getuid() != 0:
        pytest.skip("mounting a file system needs root")
    place = tmp_path / "small disk"

    def make(size_mb: int) -> Path:
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "edgedeploy-test", str(place)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
        return place

    yield make
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)
