"""Reports a mistake of edgedeploy's own: one line for the user, the traceback in a file."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import platform
import sys
import traceback


def crash_message(error: BaseException) -> str:
    """Write the traceback of `error` to a file, and say in three lines what happened and where that file is.

    The file is replaced each time. It holds versions, the name of the command and the traceback; no argument of the
    command line, which may name what is nobody else's business.
    """
    # Imported here: on the way of every command, only what it needs is loaded.
    from edgedeploy.foundation.files import cache_folder, write_bytes
    from edgedeploy.foundation.sanitize import printable_lines

    what = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    where = "the traceback could not be written down; -vv prints it"
    # A full disk, or a folder of another user's, must not hide the mistake.
    with contextlib.suppress(Exception):
        path = cache_folder() / "crash.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _log(error).encode(errors="replace"))
        where = f"the traceback is in {path}"
    return printable_lines(
        f"error: edgedeploy made a mistake: {what}\n  why: this should not happen, and {where}\n"
        "  fix: report it with that file; `edgedeploy doctor` shows whether a dependency is missing or too old"
    )


def _log(error: BaseException) -> str:
    version = "unknown"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("edgedeploy")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    head = (
        f"{now}  edgedeploy {version}, Python {platform.python_version()}, {platform.platform()}\ncommand: {command}\n"
    )
    return head + "".join(traceback.format_exception(error))
