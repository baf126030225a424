"""How a script is run on a device, with or without its lock, and what is said of one that failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from edgedeploy.deploy.scripts.failures import FailureKind, failure_kind
from edgedeploy.deploy.scripts.trust import UNTRUSTED, untrusted
from edgedeploy.device.connection import Completed, Connection
from edgedeploy.device.free_space import free_inodes
from edgedeploy.foundation.errors import BusyError, DeviceError, EdgedeployError
from edgedeploy.foundation.programs import last_lines

_DF_TIMEOUT_S = 20.0
_FEW_INODES = 8
"""What was removed after a failure may be free again."""

# Before every script: tools translate what they say (a French sha256sum says «Réussi» for «OK»), and files get the
# same modes whatever the user's mask is.
#
# What the device's owner has set for their own shell does not count here: options and exported functions of bash, words
# that tools read from the environment (GNU tar's TAR_OPTIONS, sizes in units of BLOCK_SIZE), a CDPATH, with which `cd`
# goes elsewhere and says where. A path over two lines would be read as two.
_PREAMBLE = """set +eufCvx
LC_ALL=C
export LC_ALL
unset IFS
umask 022
unset CDPATH TAR_OPTIONS GZIP GREP_OPTIONS POSIXLY_CORRECT QUOTING_STYLE TIME_STYLE BLOCKSIZE BLOCK_SIZE LS_BLOCK_SIZE
unset DF_BLOCK_SIZE DU_BLOCK_SIZE SIMPLE_BACKUP_SUFFIX VERSION_CONTROL
unset -f cat cd chmod command cp date df du echo exit find grep gzip ln ls mkdir mv printf pwd read readlink rm rmdir
unset -f sha256sum sort sync tail tar test timeout uname wc xargs
unalias -a 2>/dev/null || :
case $PWD in *'
'*) echo 'the path of its home folder has a line break' >&2; exit 7 ;; esac
"""

# Before a script that changes what is on the device; $1 is what LOCK said. Ends with LOST when another has it now.
LOST = 5
_HELD = """
[ "$(readlink .edgedeploy/lock)" = "$1" ] || exit 5
shift
"""


def argv(script: str, *arguments: str, lock: str | None = None) -> list[str]:
    """Make the command that runs one of the scripts; with `lock`, only as long as that is the device's lock."""
    if lock is None:
        return ["sh", "-c", _PREAMBLE + script, "edgedeploy", *arguments]
    return ["sh", "-c", _PREAMBLE + _HELD + script, "edgedeploy", lock, *arguments]


def run(
    connection: Connection,
    script: str,
    *arguments: str,
    stdin: bytes | Iterable[bytes] = b"",
    timeout_s: float = 120.0,
    doing: str,
    lock: str | None = None,
) -> Completed:
    """Run one of the scripts on the device.

    Args:
        lock: as `device_lock` gives it: the script runs only while that is held.
        doing: what it is for, to be read after «cannot» in the message when it fails.

    Raises:
        DeviceError: it ended with another status than 0; the message has the end of what it said.
        BusyError: the lock is another's by now.
        UnreachableError: the connection was lost.
    """
    completed = connection.run(argv(script, *arguments, lock=lock), stdin=stdin, timeout_s=timeout_s)
    if lock is not None:
        require_lock(connection, completed)
    if completed.exit_status:
        raise failed(connection, doing, completed)
    return completed


def require_lock(connection: Connection, completed: Completed) -> None:
    """Raise BusyError when a script that was run with a lock found that it is another's by now."""
    if completed.exit_status == LOST:
        raise BusyError(
            f"{connection.address} did not hear from us for too long, and has let others in",
            why="this machine slept, or the network between was down",
            hint="run the command again: what was current there still is",
        )


NO_INODES = "remove files on the device, small ones too: df -i there shows how many more its file systems can hold"
_FIXES = {
    FailureKind.NO_SPACE: "free space on the device; what was sent has been removed, and the current release is as it "
    "was",
    FailureKind.READ_ONLY: "mount the device's file system for writing",
    FailureKind.NOT_PERMITTED: "give the user its home folder, or log in as its owner",
    FailureKind.NO_LINKS: "give the user a home folder on ext4, f2fs, btrfs or xfs: what is current is a symbolic link",
    FailureKind.LINE_BREAK: "give the user a home folder whose path is one line",
    FailureKind.OTHER: "",
}


def failed(connection: Connection, doing: str, completed: Completed) -> DeviceError:
    """Return the error for a script that failed, with what mends the usual causes.

    Args:
        doing: what it was for, to be read after «cannot».
    """
    if completed.exit_status == UNTRUSTED:
        return untrusted(connection.address, completed.stderr)
    # A login shell that lets nobody in says so on standard output.
    outputs = [output.decode(errors="replace") for output in (completed.stderr, completed.stdout[-1024:])]
    kind = failure_kind(next((output for output in outputs if output.strip()), ""))
    why = last_lines(*outputs) or f"exit status {completed.exit_status}"
    if kind is FailureKind.NO_SPACE and _has_no_inodes(connection):
        return DeviceError(f"{connection.address} cannot {doing}", why=f"{why}: no inodes are left", hint=NO_INODES)
    return DeviceError(f"{connection.address} cannot {doing}", why=why, hint=_FIXES[kind])


def _has_no_inodes(connection: Connection) -> bool:
    """Ask whether it is inodes that have run out: the kernel has one word for both."""
    with contextlib.suppress(EdgedeployError):
        answer = connection.run(["df", "-Pi", ".edgedeploy"], timeout_s=_DF_TIMEOUT_S)
        left = free_inodes((answer.stdout.decode(errors="replace").splitlines() or [""])[-1])
        return left is not None and left < _FEW_INODES
    return False
