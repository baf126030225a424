"""Which algorithms a connection may use: of those that we have, what the user's configuration of SSH leaves."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edgedeploy.device.ssh.config_file import matches_any
from edgedeploy.foundation.errors import UnsupportedError


class AllowedAlgorithms(Struct, frozen=True, kw_only=True):
    """What ssh_config(5) says of each kind of algorithm, as it stands there; empty where nothing is said."""

    host_keys: str = ""
    """HostKeyAlgorithms."""
    public_keys: str = ""
    """PubkeyAcceptedAlgorithms."""
    key_exchange: str = ""
    """KexAlgorithms."""
    ciphers: str = ""
    """Ciphers."""
    macs: str = ""
    """MACs."""


def left_of(ours: Sequence[str], option: str, value: str, *, host: str) -> list[str]:
    """Return the algorithms that we have and a configuration allows, in its order.

    Args:
        ours: the names of those that we have, the best first.
        option: its name, for the message.
        value: names and patterns, separated by commas; after a `+` they are added to the usual ones, after a `-` taken
            away from them, after a `^` put before them (ssh_config(5); kex_assemble_names in OpenSSH's kex-names.c).

    Raises:
        UnsupportedError: none is left.
    """
    names = value.lstrip("+-^").split(",") if value else []
    named = {name: next((place for place, each in enumerate(names) if matches_any([each], name)), -1) for name in ours}
    match value[:1]:
        case "" | "+":  # what it adds is not ours
            left = list(ours)
        case "-":
            left = [name for name in ours if named[name] < 0]
        case "^":
            left = sorted(ours, key=lambda name: named[name] if named[name] >= 0 else len(names))
        case _:
            left = sorted((name for name in ours if named[name] >= 0), key=lambda name: named[name])
    if not left:
        raise UnsupportedError(
            f"none of the {option} that are allowed for {host} is known here",
            why=f"the configuration of SSH says {value}",
            hint=f"allow one of {', '.join(ours)}",
        )
    return left
