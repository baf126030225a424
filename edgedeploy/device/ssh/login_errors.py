"""Why a login failed, in words, from what paramiko raised."""

from __future__ import annotations

import paramiko

from edgedeploy.device.ssh import key_passphrase
from edgedeploy.device.ssh.settings import SshSettings
from edgedeploy.foundation.errors import AuthenticationError, EdgedeployError, UnreachableError
from edgedeploy.foundation.home import home_folder


def login_error(settings: SshSettings, transport: paramiko.Transport | None, error: Exception) -> EdgedeployError:
    """Return the error for a login that failed.

    Args:
        transport: of the failed login, if it came so far.
        error: what paramiko raised.
    """
    if isinstance(error, paramiko.PasswordRequiredException):
        return AuthenticationError(
            f"the key for {settings.user}@{settings.where} is encrypted",
            why=str(error),
            hint=f"add it to the agent: ssh-add; or put its passphrase into the variable {key_passphrase.VARIABLE}",
        )
    copy_a_key = f"put a public key there: ssh-copy-id -p {settings.port} {settings.user}@{settings.host}"
    if not settings.key_paths and not any((home_folder() / ".ssh").glob("id_*.pub")):
        # ssh-copy-id ends with «No identities found» where there is nothing to copy.
        copy_a_key = copy_a_key.replace("ssh-copy-id", "ssh-keygen -t ed25519 && ssh-copy-id")
    if isinstance(error, paramiko.AuthenticationException):
        return AuthenticationError(
            f"{settings.where} rejected login as {settings.user}",
            why=f"it refused {settings.keys_in_words}",
            hint=copy_a_key,
        )
    # paramiko tries each key file as each kind of key, and raises what the last attempt gave.
    if transport is not None and transport.initial_kex_done and not isinstance(error, EOFError):
        return AuthenticationError(
            f"{settings.where} rejected login as {settings.user}",
            why=f"of {settings.keys_in_words}, none could be used: {error}",
            hint=f"check the key files, or {copy_a_key}",
        )
    if transport is None or not transport.remote_version:
        return UnreachableError(
            f"{settings.where} closed the connection before the login",
            why="its SSH server takes no more logins at the moment (MaxStartups, PerSourceMaxStartups or "
            "PerSourcePenalties in sshd_config), or what listens there is no SSH server",
            hint="wait a minute, and run the command again; if it stays so, check host and port",
        )
    return UnreachableError(
        f"{settings.where} does not speak SSH with us",
        why=str(error) or type(error).__name__,
        hint="check host and port",
    )
