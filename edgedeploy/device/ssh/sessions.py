"""Open sessions on a device's SSH server, each for one command, as many as are needed at once.

A server limits how many a connection may have (`MaxSessions` of OpenSSH, 10 by default, 1 where somebody hardened it).
Beyond that we log in once more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import paramiko

from edgedeploy.device.ssh.command_errors import lost, opens_no_session

_OPEN_S = 30.0
"""For a session to be opened, on a slow and loaded device too."""
_MOST_CONNECTIONS = 8
"""No work needs more at once: a lock, a command, and what ends one."""


class Sessions:
    """Sessions over the first connection, and over further ones where that has no room.

    Args:
        address: of the device, for messages.
        first: the connection that is open.
        connect: logs in once more.
    """

    def __init__(self, address: str, first: paramiko.Transport, connect: Callable[[], paramiko.Transport]) -> None:
        self._address = address
        self._first = first
        self._connect = connect
        self._transports = [first]
        self._lock = threading.Lock()
        self._spare: Future[paramiko.Channel | None] | None = None
        # Dropbear (2022.83) closes channels that are open and not used when a command on another one ends.
        self._has_spares = "OpenSSH" in first.remote_version
        self._open_ahead()

    def open(self) -> paramiko.Channel:
        """Open a session.

        Raises:
            UnreachableError: the connection was lost.
            DeviceError: the server opens none.
        """
        with self._lock:
            try:
                spare, self._spare = self._spare, None
                channel = spare.result(_OPEN_S) if spare is not None else None
                return channel if channel is not None and not channel.closed else self._on_any_connection()
            except (paramiko.SSHException, EOFError, OSError, TimeoutError) as error:
                raise lost(self._address, error) from error
            finally:
                self._open_ahead()

    def _on_any_connection(self) -> paramiko.Channel:
        if not self._first.is_active():
            raise EOFError("it is closed")
        self._transports = [each for each in self._transports if each.is_active()]
        for transport in tuple(self._transports):
            try:
                channel = _open_on(transport)
            except paramiko.ChannelException:
                self._has_spares = False  # they would take the room of commands
                continue
            # The next one has its room there most likely, where this one had it.
            self._transports.remove(transport)
            self._transports.insert(0, transport)
            return channel
        if len(self._transports) >= _MOST_CONNECTIONS:
            raise paramiko.SSHException("its server opens no more sessions")
        transport = self._connect()
        try:
            channel = _open_on(transport)
        except paramiko.ChannelException as error:
            transport.close()
            raise opens_no_session(self._address, error) from error
        self._transports.insert(0, transport)
        return channel

    def _open_ahead(self) -> None:
        """Open a session for the next command while this one runs: one wait for the network less. It comes to nothing
        when the server lets us have no more of them now."""
        if not self._has_spares or self._spare is not None or not self._first.is_active():
            return
        opened: Future[paramiko.Channel | None] = Future()

        def open_it() -> None:
            channel = None
            with contextlib.suppress(Exception):  # whoever needs one opens it then, and is told what is wrong
                try:
                    channel = self._first.open_session(timeout=_OPEN_S)
                except paramiko.ChannelException:
                    self._has_spares = False
            opened.set_result(channel)

        threading.Thread(target=open_it, daemon=True).start()
        self._spare = opened


def _open_on(transport: paramiko.Transport) -> paramiko.Channel:
    """Open a session, and once more where the server closes it before we have it: Dropbear (2022.83) does so when a
    command on another one ends."""
    by = time.monotonic() + _OPEN_S
    while True:
        try:
            return transport.open_session(timeout=max(by - time.monotonic(), 0.1))
        except paramiko.ChannelException:
            raise
        except paramiko.SSHException:
            if not transport.is_active() or time.monotonic() > by:
                raise
