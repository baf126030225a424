"""Read and write a device's log: what was done there."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.deploy.scripts.asking import STATUS
from edgedeploy.deploy.scripts.noting import NOTE
from edgedeploy.deploy.scripts.running import argv, run
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.sanitize import one_line

_FIELDS = 6
_DETAIL_LIMIT = 500
"""Characters: a line is written whole or not at all only while it is short (PIPE_BUF is 4,096 bytes)."""


class LogEntry(Struct, frozen=True, kw_only=True):
    """One line of `~/.edgedeploy/log`."""

    at: str
    """UTC by the device's own clock, e.g. `"2026-11-23T16:40:00Z"`; a device without a battery may be years behind."""
    event: str
    """`"activated"`, `"rolled-back"` (became current again), `"refused"` (not healthy, not signed as it has to be,
    damaged, or no room for it: did not become current), `"confirmed"` or `"taken-back"` (by the command that `push` was
    given for that, or because it broke its contract), `"judged"` (by `ship`), `"not-confirmed"`
    (the command failed, and the release stays current: it was confirmed before), `"removed"` or `"uninstalled"`."""
    name: str
    """Of the model."""
    release: str
    """Its ID, or `"-"` where all of them are meant."""
    by: str
    """Who held the lock: `user@host`."""
    detail: str
    """What the release's own check said, for example."""


def log_field(words: str) -> str:
    """Make text a field of the log: printable, on one line, not too long."""
    return one_line(words)[:_DETAIL_LIMIT]


def parse_log(text: str) -> tuple[LogEntry, ...]:
    """Read the entries of a log, oldest first. Lines that are none, as a power cut may leave one, are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) == _FIELDS and all(fields[:4]):
            at, event, name, release, by, detail = (log_field(field) for field in fields)
            found.append(LogEntry(at=at, event=event, name=name, release=release, by=by, detail=detail))
    return tuple(found)


def read_log(connection: Connection, *, lines: int = 2000) -> tuple[LogEntry, ...]:
    """Read the last entries of the device's log, oldest first.

    Args:
        lines: how many at most.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    answer = run(connection, STATUS, str(lines), doing="read its log").stdout.decode(errors="replace")
    return parse_log(answer.partition("\nlog\n")[2])


def note(connection: Connection, event: str, name: str, release: str, detail: str) -> None:
    """Write an entry. A device whose log cannot be written goes on without."""
    connection.run(argv(NOTE, event, name, release, log_field(detail)))
