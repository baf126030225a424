"""Programs that edgedeploy starts end with it, even where it is killed."""

from __future__ import annotations

import ast
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import edgedeploy

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
