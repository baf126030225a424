"""Hold the lock of a device's store: one push at a time."""

from __future__ import annotations

import contextlib
import getpass
import socket
import threading
from collections.abc import Iterator

from edgedeploy.deploy.scripts.locking import LOCK
from edgedeploy.deploy.scripts.running import argv, failed
from edgedeploy.device.connection import Connection, Process
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import BusyError, DeviceError

BEAT_S = 15.0
SILENCE_S = 120.0
"""After which the device lets others in: several beats, on a slow and loaded network too."""
_LINE_LIMIT_BYTES = 4096


@contextlib.contextmanager
def device_lock(connection: Connection, *, beat_s: float = BEAT_S, silence_s: float = SILENCE_S) -> Iterator[str]:
    """Hold the device's lock. It is released when the block, this process or the connection ends.

    Args:
        beat_s: how often we are heard by the device, in seconds.
        silence_s: after which the device lets others in, and after which we give up waiting for its answer.

    Yields:
        What proves that it is held, for `edgedeploy.deploy.scripts.running.run`. A machine that slept or lost the
        network finds that it is not any more, and changes nothing.

    Raises:
        BusyError: another edgedeploy holds it; the message says who.
        DeviceError: the device's home folder cannot be written.
    """
    me = f"{getpass.getuser()}@{socket.gethostname()}".replace(" ", "_")
    process = connection.start(argv(LOCK, me, f"{silence_s:g}"))
    done = threading.Event()
    silence = SilenceLimit(process, silence_s)
    try:
        with silence:
            line = process.stdout.readline(_LINE_LIMIT_BYTES)
        word, _, rest = line.decode(errors="replace").rstrip("\n").partition(" ")
        if silence.exceeded:
            raise DeviceError(f"{connection.address} does not say whether it can be locked, for {silence_s:g} s now")
        if word == "busy":
            raise BusyError(
                f"{connection.address} is being pushed to by {rest}", hint="wait until it is done, then try again"
            )
        if word != "locked":
            raise failed(connection, "be locked", process.wait(30.0))
        threading.Thread(target=_beat, args=(process, beat_s, done), daemon=True).start()
        yield rest
    finally:
        silence.stop()
        done.set()
        with contextlib.suppress(Exception):  # the connection may be gone, and with it the lock
            process.stdin.close()
            process.wait(10.0)
        process.kill()


def _beat(process: Process, beat_s: float, done: threading.Event) -> None:
    with contextlib.suppress(Exception):  # a lost connection is found by whoever uses it
        while not done.wait(beat_s):
            process.stdin.write(b"\n")
            process.stdin.flush()
