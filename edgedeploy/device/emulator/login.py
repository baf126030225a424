"""Log in to a board, to know that it is up."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_TRY_TIMEOUT_S = 30.0
_REFUSALS = 3


class BoardAccess(Struct, frozen=True, kw_only=True):
    """The way into a running board."""

    host: str
    port: int
    user: str
    key_path: Path
    known_hosts_path: Path
    counting: bool = False
    """Whether the board's clock counts instructions."""
    kvm: bool = False
    """Whether its programs run on this machine's own cores."""
    emulator: str | None = None
    """What it runs in, e.g. `"QEMU 7.2.22"`."""


def wait_for_login(access: BoardAccess, still_on: Callable[[], bool], deadline: float) -> bool:
    """Try until the board has let us log in, with the host key that we gave it.

    Args:
        still_on: asked before each try; when it says no, we give up.
        deadline: as `time.monotonic()` has it.
    """
    import paramiko

    refusals = 0
    while still_on() and time.monotonic() < deadline and refusals < _REFUSALS:
        try:
            if _logged_in(access, min(_TRY_TIMEOUT_S, max(deadline - time.monotonic(), 0.1))):
                return True
        except paramiko.AuthenticationException:
            # Also what paramiko says when a busy board is slow to answer: not yet the last word.
            refusals += 1
        except (OSError, EOFError, paramiko.SSHException):
            pass  # sshd is only just coming up
        time.sleep(0.1)
    return False


def _logged_in(access: BoardAccess, timeout_s: float) -> bool:
    import paramiko

    with socket.create_connection((access.host, access.port), timeout=timeout_s) as way:
        # QEMU's user network accepts at once, whether or not the board does; and paramiko would complain of a missing
        # banner on its logger. So look first.
        if way.recv(4, socket.MSG_PEEK) != b"SSH-":
            return False
        with paramiko.Transport(way) as transport:
            transport.banner_timeout = transport.auth_timeout = timeout_s
            transport.start_client(timeout=timeout_s)
            known = paramiko.HostKeys(str(access.known_hosts_path))
            if not known.check(f"[{access.host}]:{access.port}", transport.get_remote_server_key()):
                raise paramiko.AuthenticationException("another host key")
            transport.auth_publickey(access.user, paramiko.Ed25519Key.from_private_key_file(str(access.key_path)))
            return bool(transport.is_authenticated())
