"""Open a connection to an address as people write it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import InvalidFileError, UnknownNameError
from edgedeploy.foundation.home import xdg_folder
from edgedeploy.foundation.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgedeploy.device.ssh.settings import SshSettings

_FORMS = "ssh://user@host:port, a name in ~/.ssh/config, board:NAME, local: or local:FOLDER"
_HOST_NAME = re.compile(r"(?:(?P<user>[^@\s/:]+)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.%a-z]+\])")


def connect(
    address: str, *, accept_new: bool = False, timeout_s: float = 15.0, progress: Progress = SILENT
) -> Connection:
    """Open a device.

    Args:
        address: `ssh://user@host:port` (user and port may be left out), a name in `~/.ssh/config` or of a host,
            `board:NAME`, `local:` or `local:FOLDER` (this machine, in a folder of its own).
        accept_new: trust an SSH host that is seen for the first time, and remember its key.
        timeout_s: for the TCP connection, the banner, and each step of the authentication; a ConnectTimeout in the
            configuration of SSH comes before it.

    Raises:
        UnknownNameError: the address has none of these forms, or there is no such board.
        UnreachableError, AuthenticationError: as `edgedeploy.device.ssh.connection` says.
        DeviceError: the board is not up.
    """
    if address.startswith("local:"):
        from edgedeploy.device.local import LocalConnection

        return LocalConnection(address, _local_folder(address.removeprefix("local:")))

    from edgedeploy.device.ssh.connection import SshConnection
    from edgedeploy.device.ssh.settings import SshSettings

    if address.startswith("board:"):
        from edgedeploy.device.emulator.board import board_access

        access = board_access(address.removeprefix("board:"))
        settings = SshSettings(
            host=access.host,
            port=access.port,
            user=access.user,
            key_paths=(access.key_path,),
            only_these_keys=True,
            known_hosts=(access.known_hosts_path,),
            # A loaded machine emulates slowly.
            timeout_s=max(timeout_s, 60.0),
        )
        return SshConnection(
            address,
            settings,
            emulated=True,
            virtual_machine="kvm" if access.kvm else None,
            counts_instructions=access.counting,
            emulator=access.emulator,
        )
    progress.step(f"connecting to {address}")
    host, port, user = _split(address)
    return SshConnection(address, _settings(host, port, user, accept_new=accept_new, timeout_s=timeout_s))


def _split(address: str) -> tuple[str, int | None, str | None]:
    if ":" in address.removeprefix("ssh://").rpartition("@")[0]:
        # Not repeated in the message: it would end up in logs.
        raise UnknownNameError(
            "an address cannot hold a password", why="it would be seen in process lists and logs", hint="use a key"
        )
    if address.startswith("ssh://"):
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise UnknownNameError("the address is not a device's", why=str(error), hint=_FORMS) from error
        if not parts.hostname or port == 0 or parts.path.strip("/") or parts.query or parts.fragment:
            raise UnknownNameError(f"{address!r} is not a device's address", hint=f"write {_FORMS}")
        # Not `parts.hostname`, which is in lower case: names in ~/.ssh/config are as they were written there.
        match = _HOST_NAME.match(parts.netloc)
        if match is None or match.end() not in (len(parts.netloc), parts.netloc.rfind(":")):
            raise UnknownNameError(f"{address!r} is not a device's address", hint=f"write {_FORMS}")
        return match["host"].strip("[]"), port, match["user"]
    match = _HOST_NAME.fullmatch(address)
    if match is None:
        raise UnknownNameError(f"{address!r} is not a device's address", hint=f"write {_FORMS}")
    return match["host"].strip("[]"), None, match["user"]


def _settings(
    host: str,
    port: int | None,
    user: str | None,
    *,
    accept_new: bool,
    timeout_s: float,
    through: str | None = None,
    towards: tuple[str, ...] = (),
) -> SshSettings:
    """Merge what the address says of a host with `~/.ssh/config`; the address wins.

    Args:
        through: jump hosts that are given, instead of those in the file.
        towards: the hosts that this one is a jump host for, the device first.
    """
    from edgedeploy.device.ssh.config import host_config
    from edgedeploy.device.ssh.settings import SshSettings

    found = host_config(host, user=user, port=port)
    return SshSettings(
        host=found.host,
        port=found.port,
        user=found.user,
        key_paths=found.key_paths,
        only_these_keys=found.only_these_keys,
        known_hosts=found.known_hosts,
        revoked_keys=found.revoked_keys,
        known_as=found.known_as,
        accept_new=accept_new,
        timeout_s=found.connect_timeout_s or timeout_s,
        algorithms=found.algorithms,
        jump=_jump(through or found.jump, accept_new=accept_new, timeout_s=timeout_s, towards=(*towards, host)),
    )


def _jump(text: str | None, *, accept_new: bool, timeout_s: float, towards: tuple[str, ...]) -> SshSettings | None:
    """Return the last hop of `ProxyJump a,b,c`, which itself goes through the ones before."""
    if text is None:
        return None
    *before, last = text.split(",")
    host, port, user = _split(last.strip() if "://" in last else f"ssh://{last.strip()}")
    if host == towards[-1]:
        return None  # `Host *` with a ProxyJump holds for the jump host too, which does not go through itself
    if host in towards:
        raise InvalidFileError("ProxyJump in ~/.ssh/config goes in a circle", why=" → ".join((*towards, host)))
    return _settings(
        host, port, user, accept_new=accept_new, timeout_s=timeout_s, through=",".join(before) or None, towards=towards
    )


def _local_folder(text: str) -> Path:
    if not text:
        return _local_home()
    if "\0" in text:
        raise UnknownNameError(f"{text!r} is not a folder's name", hint=f"write {_FORMS}")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UnknownNameError(f"{text!r} is not a folder of this machine", why=str(error)) from error


def _local_home() -> Path:
    return xdg_folder("XDG_DATA_HOME") / "edgedeploy" / "local"
