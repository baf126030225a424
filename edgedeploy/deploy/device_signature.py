"""Signatures on the device: kept beside each release, and asked for where the device's owner said whose count.

Where `~/.edgedeploy/allowed_signers` exists on the device, no release becomes current whose manifest none of those
signed. It is the owner's file: edgedeploy never writes it.
"""

from __future__ import annotations

from edgedeploy.bundle.signature import NAMESPACE
from edgedeploy.deploy.scripts.shell import KEEP_SIGNATURE, VERIFY_SIGNATURE, argv, run
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError

_SIGNERS = "~/.edgedeploy/allowed_signers"


def asks_for_signatures(connection: Connection, prepared: bytes) -> bool:
    """Whether the device has a file of allowed signers.

    Args:
        prepared: what `receiving.PREPARE` said.

    Raises:
        DeviceError: it has, and no ssh-keygen to check a signature with: then nothing may become current there.
    """
    words = prepared.split()
    if b"signers" in words and b"ssh-keygen" not in words:
        raise DeviceError(
            f"{connection.address} asks for signed releases and cannot check one",
            why=f"it has {_SIGNERS}, and no ssh-keygen",
            hint="install openssh-client there, or take that file away",
        )
    return b"signers" in words


def keep_signature(connection: Connection, name: str, identity: str, signature: bytes, lock: str) -> None:
    """Put the signature of a release beside it, in place of any that is there."""
    run(connection, KEEP_SIGNATURE, name, identity, stdin=signature, doing="keep the signature", lock=lock)


def verify_there(connection: Connection, name: str, identity: str) -> str:
    """Let the device check the signature of a release. Returns who signed it, as the device calls them.

    Raises:
        DeviceError: there is none, it is not one of the release's manifest, or its key is not allowed there.
    """
    done = connection.run(argv(VERIFY_SIGNATURE, name, identity, NAMESPACE))
    if done.exit_status:
        said = done.stderr.decode(errors="replace").strip()
        raise DeviceError(
            f"{connection.address} does not accept the signature of {identity}; what was current there still is",
            why=" | ".join(said.splitlines()[-3:]) or f"exit {done.exit_status}",
            hint=f"let somebody sign it whom {_SIGNERS} there names: edgedeploy bundle sign BUNDLE --key FILE",
        )
    return done.stdout.decode(errors="replace").strip()
