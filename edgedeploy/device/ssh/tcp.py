"""The TCP connection under an SSH connection."""

from __future__ import annotations

import socket

from edgedeploy.device.ssh.settings import SshSettings
from edgedeploy.foundation.errors import UnreachableError

_UNANSWERED_MS = 60_000
"""How long the device's network may acknowledge nothing; without a limit the kernel goes on trying for 15 minutes."""


def open_socket(address: str, settings: SshSettings) -> socket.socket:
    """Open a TCP connection to a host that is reached directly.

    Raises:
        UnreachableError: no name, no route, port refused, or no answer in time.
    """
    try:
        opened = socket.create_connection((settings.host, settings.port), timeout=settings.timeout_s)
        # Commands are rows of small packets: each would wait for the one before to be acknowledged (RFC 896).
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux, RFC 5482
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)
        return opened
    except socket.gaierror as error:
        raise UnreachableError(
            f"{address}: there is no host called {settings.host!r}",
            why=error.strerror or "",
            hint="check the spelling, or add it to ~/.ssh/config",
        ) from error
    except TimeoutError as error:
        raise UnreachableError(
            f"{address}: {settings.where} did not answer within {settings.timeout_s:g} s",
            hint="check that the device is on and in this network",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{address}: {settings.where} cannot be reached",
            why=error.strerror or str(error),
            hint="check the port, and that sshd runs on the device",
        ) from error
