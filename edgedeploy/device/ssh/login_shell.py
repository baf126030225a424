"""Quote commands for login shells of any kind: those of POSIX, tcsh and fish."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# `printf %b` of the shell that runs it: an octal number for each byte that a login shell may take for its own.
_DECODED = 'eval "exec $(printf %b "$0")"'
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"!'\\")
"""Bytes that are themselves between single quotes in all of these shells. tcsh takes no line feed there, and `!` for
its history; fish takes backslashes before others and before a quote."""


def for_any_shell(argv: Sequence[str]) -> str:
    """Quote a command so that a login shell, whichever it is, gives it to `sh` as it is.

    Args:
        argv: its words. The last does not end in a line feed.
    """
    line = shlex.join(argv)
    if all(byte in _PLAIN or byte == ord("'") for byte in line.encode()):
        return line
    # Four digits: with fewer, a digit that follows would be taken for one of them.
    encoded = "".join(chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in line.encode())
    return f"sh -c '{_DECODED}' '{encoded}'"
