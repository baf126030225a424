"""What is done to a root folder beside unpacking packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgedeploy.device.emulator import userland


class Notes:
    """Keeps what is noted. A `Progress`."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None:
        pass

    def advance(self, done: int, total: int | None, unit: str) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def library(root: Path, version: str) -> Path:
    folder = root / f"usr/lib/python{version}"
    folder.mkdir(parents=True)
    (folder / "one.py").write_text("x = 1\n")
    return folder


def test_this_python_compiles_the_library_of_its_own_version(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder, heard = library(tmp_path, version), Notes()
    userland._compile_standard_library(tmp_path, heard)
    assert list((folder / "__pycache__").glob("one.*.pyc")) and heard.notes == []


def test_another_python_that_is_installed_compiles_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library(tmp_path, "3.99")
    program = tmp_path / "python3.99"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/said\nexit $(cat {tmp_path}/status)\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "status").write_text("0")
    heard = Notes()
    userland._compile_standard_library(tmp_path, heard)
    assert "compileall" in (tmp_path / "said").read_text() and heard.notes == []
    (tmp_path / "status").write_text("127")
    userland._compile_standard_library(tmp_path, heard)
    assert "does not compile the board's library" in heard.notes[0]


def test_a_library_that_nobody_can_compile_is_noted(tmp_path: Path) -> None:
    library(tmp_path, "3.99")
    heard = Notes()
    userland._compile_standard_library(tmp_path, heard)
    assert heard.notes == ["no python3.99, the board's, is installed here: the board's library is left uncompiled"]
