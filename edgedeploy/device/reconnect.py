"""Come back to a device after its connection was lost."""

from __future__ import annotations

import time

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import UnreachableError
from edgedeploy.foundation.progress import SILENT, Progress

RECONNECT_S = 300.0
"""A board that boots again, or Wi-Fi that comes back, takes a minute or two; nobody waits longer beside it."""
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 15.0


def reconnect(connection: Connection, *, within_s: float = RECONNECT_S, progress: Progress = SILENT) -> None:
    """Connect again, with growing waits between attempts.

    Raises:
        UnreachableError: it was not reached in time.
        AuthenticationError: it does not let us in any more, or has another host key.
    """
    progress.step(f"connecting to {connection.address} again")
    ends_by = time.monotonic() + within_s
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            connection.reopen()
            return
        except UnreachableError:
            left_s = ends_by - time.monotonic()
            if left_s <= 0:
                raise
        time.sleep(min(wait_s, left_s))
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
