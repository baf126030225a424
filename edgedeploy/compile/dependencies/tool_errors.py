"""Reads what uv, pip, zig and onnx2tf write when they fail. They have no other way to say why.

This is the one place that decides by their words, so that a new version of theirs is a change of this module alone.
"""

from __future__ import annotations

import enum

_LIMIT = 600
"""Characters that are passed on."""


class InstallFailure(enum.Enum):
    """Why packages could not be laid out."""

    NETWORK = "the index cannot be reached"
    NO_WHEEL = "there is no wheel for this platform and Python"
    HASH = "a wheel has other bytes than were locked"
    OTHER = "anything else"


# What uv says, then pip. The first kind that fits is taken: without a network, uv says that there are no wheels too.
_INSTALL_WORDS = {
    InstallFailure.NETWORK: (
        *("Failed to fetch", "error sending request", "dns error", "network was disabled", "timed out"),
        *("Max retries exceeded", "Failed to establish a new connection", "Temporary failure in name resolution"),
    ),
    InstallFailure.NO_WHEEL: ("no usable wheels", "no wheels with a matching", "No matching distribution found"),
    InstallFailure.HASH: ("Hash mismatch", "DO NOT MATCH THE HASHES"),
}
_ANNOUNCEMENT = "Using "
"""How lines begin in which uv says what interpreter it takes."""
_ZIG_ERROR = "error"
_PROGRESS_BARS = ("it/s", "%|")
"""What is in the lines of the library that onnx2tf shows its progress with."""
_LOG_TAIL_BYTES = 100_000


def install_failure(stderr: str) -> tuple[InstallFailure, str]:
    """Tell why uv or pip did not install; and in their words, on one line."""
    lines = (line.strip() for line in stderr.splitlines() if not line.startswith(_ANNOUNCEMENT))
    words = " ".join(lines)[:_LIMIT]
    for failure, signs in _INSTALL_WORDS.items():
        if any(sign in words for sign in signs):
            return failure, words
    return InstallFailure.OTHER, words


def compiler_errors(stderr: str) -> str:
    """Pick the first errors out of what zig says; its first lines where none is called an error."""
    lines = stderr.splitlines()
    errors = [line for line in lines if _ZIG_ERROR in line] or lines
    return " | ".join(errors[:3])[:_LIMIT]


def last_line(log: bytes) -> str:
    """Read the last line of onnx2tf's output that is no progress bar: the exception's, where there was one."""
    text = log[-_LOG_TAIL_BYTES:].decode(errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if not any(sign in line for sign in _PROGRESS_BARS)]
    return next((line[:_LIMIT] for line in reversed(lines) if line), "")
