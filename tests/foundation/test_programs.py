"""Programs that edgedeploy starts end with it, even where it is killed."""

from __future__ import annotations

import ast
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgedeploy
from edgedeploy.foundation.programs import end_with_parent, parent_tie

_STARTS = {
    "a program": "from edgedeploy.foundation.programs import completed; completed(PROGRAM)",
    "a command on local:": "from pathlib import Path; from edgedeploy.device.local import LocalConnection; "
    "LocalConnection('local:', Path.home()).start(PROGRAM).wait(600)",
}
_WITHOUT = {"emulator/qemu.py": "QEMU goes into the background: a board stays up after `board up`"}
_PACKAGE = Path(edgedeploy.__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("kind", _STARTS)
def test_a_program_ends_with_the_process_that_is_killed(kind: str, tmp_path: Path) -> None:
    # What is read from the pipe ends when the program does: nobody else has it open.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    program = ["sh", "-c", f"exec >{pipe}; echo started; exec sleep 300"]
    started = subprocess.Popen([sys.executable, "-c", f"PROGRAM = {program!r}; {_STARTS[kind]}"])
    with os.fdopen(reading, "rb", buffering=0) as said:
        assert select.select([said], [], [], 60)[0] and said.read(8) == b"started\n"
        started.send_signal(signal.SIGKILL)
        started.wait(60)
        assert select.select([said], [], [], 60)[0] and said.read(1) == b""


@pytest.fixture
def _no_tie_from_before() -> Iterator[None]:
    parent_tie.cache_clear()
    yield
    parent_tie.cache_clear()


@pytest.mark.usefixtures("_no_tie_from_before")
def test_without_a_setpriv_that_can_it_is_done_by_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Busybox has a program of that name, too."""
    words, before = parent_tie()
    assert (words[1:], before) == (("--pdeathsig", "KILL"), None)
    parent_tie.cache_clear()
    other = tmp_path / "setpriv"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert parent_tie() == ((), end_with_parent)


@pytest.mark.slow
def test_all_programs_are_started_so() -> None:
    without = []
    for path in sorted(_PACKAGE.rglob("*.py")):
        where = f"{path.parent.name}/{path.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("subprocess.run", "subprocess.Popen")
                and where not in _WITHOUT
                and _PACKAGE / "runner" not in path.parents
                and all(keyword.arg != "preexec_fn" for keyword in node.keywords)
            ):
                without.append(f"{where}:{node.lineno}")
    assert without == []
