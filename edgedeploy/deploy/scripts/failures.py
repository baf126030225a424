"""Why a script failed on a device, read from what its tools wrote: the one place that does."""

from __future__ import annotations

from enum import Enum, auto


class FailureKind(Enum):
    """What stood in a script's way."""

    NO_SPACE = auto()
    READ_ONLY = auto()
    NOT_PERMITTED = auto()
    NO_LINKS = auto()
    LINE_BREAK = auto()
    OTHER = auto()


# What the C library says of an error number (strerror), in the C locale that every script sets. Tools quote it.
_MESSAGES = {
    "has no symbolic links": FailureKind.NO_LINKS,  # these are of our own scripts
    "home folder has a line break": FailureKind.LINE_BREAK,
    "No space left": FailureKind.NO_SPACE,
    "Disk quota exceeded": FailureKind.NO_SPACE,
    "Read-only file system": FailureKind.READ_ONLY,
    "Permission denied": FailureKind.NOT_PERMITTED,
}

# The same for scripts that clean up where a disk is full: `is_full WORDS`.
IS_FULL = """
is_full() {
    case $1 in *[Nn]o\\ space*|*quota*) ;; *) return 1 ;; esac
}
"""


def failure_kind(output: str) -> FailureKind:
    """Find the error number that a tool quoted, among those that edgedeploy knows.

    Args:
        output: of a script, as it came.
    """
    return next((kind for message, kind in _MESSAGES.items() if message in output), FailureKind.OTHER)
