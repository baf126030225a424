"""One push at a time on a device."""

from __future__ import annotations

import contextlib
import getpass
import socket
from collections.abc import Iterator

from edgedeploy.deploy.shell import LOCK, failed
from edgedeploy.device.connection import Connection
from edgedeploy.errors import BusyError


@contextlib.contextmanager
def device_lock(connection: Connection) -> Iterator[None]:
    """Hold the device's lock. It is released when the block, this process or the connection ends.

    Raises:
        BusyError: another edgedeploy holds it; the message says who.
        DeviceError: the device's home folder cannot be written.
    """
    me = f"{getpass.getuser()}@{socket.gethostname()}"
    process = connection.start(["sh", "-c", LOCK, "edgedeploy", me])
    try:
        word, _, holder = process.stdout.readline().decode(errors="replace").strip().partition(" ")
        if word == "busy":
            raise BusyError(
                f"{connection.address} is being pushed to by {holder}", mend="wait until it is done, then try again"
            )
        if word != "locked":
            raise failed(connection, "be locked", process.wait(30.0))
        yield
    finally:
        with contextlib.suppress(Exception):  # the connection may be gone, and with it the lock
            process.stdin.close()
            process.wait(10.0)
        process.kill()
