"""Devices that fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


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
