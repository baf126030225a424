"""Why a command behind SSH did not begin or was cut, in words."""

from __future__ import annotations

from edgedeploy.foundation.errors import DeviceError, UnreachableError
from edgedeploy.foundation.programs import last_lines


def lost(address: str, error: Exception) -> UnreachableError:
    """Return the error for a connection that ended by itself."""
    return UnreachableError(
        f"the connection to {address} was lost",
        why=str(error) or type(error).__name__,
        hint="run the command again: what was current there still is",
    )


def opens_no_session(address: str, error: Exception) -> DeviceError:
    """Return the error for a server that opens no channel on a connection of its own, e.g. with `MaxSessions 0`."""
    return DeviceError(
        f"{address} accepts the login, and opens no session for a command",
        why=f"its SSH server refused: {error}; in sshd_config, MaxSessions 0 does that",
        hint="look at it as root on the device: sshd -T | grep -i maxsessions",
    )


def runs_no_commands(address: str, said: bytes, errors: bytes) -> DeviceError:
    """Return the error for a login under which another program runs than the command, or none.

    Args:
        said: what came on standard output instead.
        errors: what came on standard error.
    """
    words = last_lines(said + b"\n" + errors)
    return DeviceError(
        f"{address} runs no commands for this login",
        why=words or "the session ended, and the command had not begun",
        hint="give the user a login shell there (chsh -s /bin/sh USER), and no ForceCommand in sshd_config and no "
        "command= before its key",
    )


def did_not_begin(address: str, limit_s: float) -> DeviceError:
    """Return the error for a login shell that never comes to the command."""
    return DeviceError(
        f"{address} did not begin with a command within {limit_s:g} s of the login",
        why="the login shell, or what it reads at its start (~/.profile, ~/.bashrc), goes on without an end",
        hint="log in by hand, and see what keeps the shell from its prompt",
    )
