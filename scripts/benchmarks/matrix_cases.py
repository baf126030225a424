"""Runs one command of edgedeploy in a process of its own and says whether it ended as the documentation says."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
from msgspec import Struct

_TRACEBACK = "Traceback (most recent call last)"
_READ_BYTES = 1 << 20


class Ending(Struct, frozen=True):
    """How one command ended."""

    code: int | None
    """None: it had to be killed, its time was over."""
    output: str
    """Standard output and standard error, as they came."""

    @property
    def last_error(self) -> str:
        """The line that says what was wrong; empty where nothing was."""
        return next((line for line in reversed(self.output.splitlines()) if line.startswith(("error:", "Error:"))), "")


def run_edgedeploy(arguments: Sequence[str], timeout_s: float) -> Ending:
    """Run `edgedeploy ARGUMENTS` in a fork of this process, which has imported most of it already.

    Args:
        timeout_s: a command that takes longer is killed with all that it has started.
    """
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(os.memfd_create("output"), "w+b"))  # noqa: PTH123 (it has no path)
        child = os.fork()
        if child == 0:
            _be_edgedeploy(arguments, log.fileno())
        descriptor = os.pidfd_open(child)
        stack.callback(os.close, descriptor)
        ended, _, _ = select.select([descriptor], [], [], timeout_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        log.seek(0)
        output = log.read(_READ_BYTES).decode(errors="replace")
    return Ending(os.waitstatus_to_exitcode(status) if ended else None, output)


def _be_edgedeploy(arguments: Sequence[str], log: int) -> None:
    code = 70
    try:
        os.setsid()
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["edgedeploy", *arguments]
        from edgedeploy.cli.main import main

        main()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        for written in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                written.flush()
        os._exit(code)


def fault(ending: Ending, model: Path, *, may_refuse: bool, made: Path) -> str:
    """Say what is wrong with how a command ended; empty where nothing is.

    Args:
        model: what the command was given.
        may_refuse: whether the command's answer can be no, which is exit code 1.
        made: the file or folder that a command which ended well has written.
    """
    code = ending.code
    if code is None:
        return "never ended"
    if _TRACEBACK in ending.output:
        return "traceback"
    if code == 0:
        return "" if made.exists() else "said yes and wrote nothing"
    if code == 1:
        refused = may_refuse and re.search(r"^(refused|not accepted)", ending.output, re.MULTILINE)
        return "" if refused else "exit code 1, which is «the answer is no»"
    if not ending.last_error:
        return f"exit code {code} without a word"
    if code == 3:
        return f"exit code 3, but onnxruntime loads it: {ending.last_error}" if _loads(model) else ""
    return "" if code in {4, 5} else f"exit code {code}: {ending.last_error}"


def _loads(model: Path) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception:  # whatever it raises: it does not load
        return False
    return True
