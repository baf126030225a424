"""Programs of this machine: find them, run them, and quote how they ended."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.sanitize import printable

_PACKAGES = {
    "apt-config": "apt",
    "apt-get": "apt",
    "cp": "coreutils",
    "debugfs": "e2fsprogs",
    "dpkg-deb": "dpkg",
    "e2fsck": "e2fsprogs",
    "git": "git",
    "mke2fs": "e2fsprogs",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
    "resize2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tar": "tar",
}
# Debian keeps file system tools where only root's PATH looks; they work for everybody.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
"""Of Linux alone."""
_PR_SET_PDEATHSIG = 1
"""Of <linux/prctl.h>."""
_LINE_LIMIT = 500
TIMEOUT_S = 3600.0
"""For downloads of packages over a slow network, and for file systems on a slow disk."""


def need(*programs: str) -> None:
    """Raise HostError with the exact apt line unless all `programs` are there."""
    missing = [program for program in programs if _which(program) is None]
    if missing:
        raise HostError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed on this machine",
            hint=apt_line(*(_PACKAGES[program] for program in missing)),
        )


def missing_programs(*programs: str) -> str | None:
    """The apt line that brings those of `programs` that are not there; None when all are."""
    try:
        need(*programs)
    except HostError as error:
        return error.hint
    return None


def find(program: str) -> str:
    """The program's path. Raises HostError as `need` does."""
    need(program)
    return _which(program) or program


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS)))


def apt_line(*packages: str) -> str:
    """The line that installs Debian packages, as this user would type it."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y --no-install-recommends {' '.join(sorted(set(packages)))}"


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends, even by SIGKILL: `preexec_fn` of programs.
    Other systems than Linux have no such thing: there, what was started ends by itself.

    It is inherited by no child, so that what such a program starts, and waits for, may take a moment longer.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


@functools.cache
def parent_tie() -> tuple[tuple[str, ...], Callable[[], None] | None]:
    """Return how a program that is started often ends with this process, as `end_with_parent` has it: words to put
    before its own, and a `preexec_fn`, of which one is nothing.

    For a `preexec_fn`, Python forks, and the kernel copies the page tables of this whole process each time, for longer
    than a small program runs. util-linux's `setpriv` does the same after a `vfork`, which copies nothing.
    """
    setpriv = _which("setpriv") if _PRCTL is not None else None
    if setpriv is not None:
        words = (setpriv, "--pdeathsig", "KILL")
        # Busybox has a program of that name too, which knows no such option.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            program = [*words, "/bin/sh", "-c", ":"]
            tried = subprocess.run(program, capture_output=True, timeout=10.0, check=False, preexec_fn=end_with_parent)
            if tried.returncode == 0:
                return words, None
    return (), end_with_parent


def completed(
    argv: Sequence[str],
    *,
    input: str | None = None,
    stdin: int | IO[bytes] | None = None,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Run a program of this machine to its end, whatever its exit status, and take what it prints.

    Args:
        timeout_s: for the whole of it; then it is killed.

    Raises:
        HostError: it did not end in time.
        OSError: it cannot be started.
    """
    try:
        return subprocess.run(
            list(argv),
            input=input,
            stdin=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env=env,
            timeout=timeout_s,
            check=False,
            preexec_fn=end_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"{Path(argv[0]).name} did not end within {timeout_s / 60:g} minutes, and was stopped",
            why=last_lines(error.stderr or b""),
            hint="check the network, the disk and what else this machine does, then run the command again",
        ) from error


def run(program: str, *arguments: str, stdin: str = "") -> str:
    """Run one of the tools to its end and return its standard output.

    Raises:
        HostError: it is missing or it failed; the message has its own words.
    """
    result = completed([find(program), *arguments], input=stdin)
    if result.returncode:
        raise HostError(
            f"{program} failed (exit status {result.returncode})",
            why=last_lines(result.stderr, result.stdout),
            hint="check the free disk space, then run the command again",
        )
    return result.stdout


def last_lines(*outputs: bytes | str, count: int = 4) -> str:
    """Quote the end of what a program wrote, on one line: for the `why` of an error.

    Args:
        outputs: in order of preference, standard error first: the first one that is not empty is quoted.
        count: how many lines at most, joined by `" | "`; each is cut after 500 characters, and shown without
            control characters.
    """
    for output in outputs:
        text = output.decode(errors="replace") if isinstance(output, bytes) else output
        lines = [printable(line.strip(), limit=_LINE_LIMIT) for line in text.strip().splitlines()[-count:]]
        if lines:
            return " | ".join(lines)
    return ""
