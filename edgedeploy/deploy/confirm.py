"""After the switch: what is current is what was meant, and works for the one who uses it; or it is taken back."""

from __future__ import annotations

from edgedeploy.deploy.device_log import note, one_line
from edgedeploy.deploy.releases import Listing, list_releases, return_to
from edgedeploy.deploy.scripts.shell import SWITCH_OFF, run
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Release

_TIMEOUT_S = 600.0
"""For an application to be started anew, and looked at."""


def confirmed(
    connection: Connection, name: str, identity: str, command: str | None, prepared: bytes, lock: str
) -> tuple[Release, Listing]:
    """Ask the device anew what is current: the link has to lead to the release, and the manifest there to be its own.
    Then run the user's command, if there is one. What is not confirmed is taken back.

    Args:
        command: for the device's shell; a status other than 0 is a no.
        prepared: what `receiving.PREPARE` said.
        lock: as `device_lock` gives it.

    Returns:
        The release, and all that the device has.

    Raises:
        DeviceError: it is not confirmed; what was current before is so again, or nothing is where nothing was. Where
            what was before is damaged by now, the release stays current, and that is said.
        BusyError: the lock is another's by now.
        UnreachableError: the connection was lost. The release is current, and healthy; a push of the same bundle
            confirms it.
    """
    listing = list_releases(connection)
    release = next((each for each in listing.releases if (each.name, each.id) == (name, identity)), None)
    if release is None or not release.current:
        raise DeviceError(
            f"{connection.address} did not keep {identity} as the current release",
            why="its file system does not do what it says, or somebody else is at work there",
            hint=f"edgedeploy status {connection.address}",
        )
    if command is None:
        return release, listing
    try:
        done = connection.run(["sh", "-c", command], timeout_s=_TIMEOUT_S)
        failed = f"exit status {done.exit_status}" if done.exit_status else ""
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
    except DeviceError as error:  # it did not end, or said too much
        failed, said = error.what, []
    if not failed:
        note(connection, "confirmed", name, identity, said[-1] if said else "")
        return release, listing
    why = " | ".join([*said[-4:], failed])
    before = _take_back(connection, release, listing, one_line(why), prepared, lock)
    raise DeviceError(
        f"{identity} was not confirmed on {connection.address}; {before}",
        why=why,
        hint=f"the command that did not confirm it was: {command}",
    )


def _take_back(connection: Connection, release: Release, listing: Listing, why: str, prepared: bytes, lock: str) -> str:
    """Make the release before it current again, or none where there is none. Says what is current then."""
    name = release.name
    before = next((each for each in listing.releases if (each.name, each.id) == (name, release.parent)), None)
    if before is None:
        run(connection, SWITCH_OFF, name, release.id, why, doing="take the release back", lock=lock)
        return f"no release of {name} is current there"
    try:
        return_to(connection, before, release, prepared, lock)
    except DeviceError as error:
        return f"it stays current, since there is no way back: {error.what}"
    note(connection, "taken-back", name, release.id, why)
    return f"{before.id} is current again"
