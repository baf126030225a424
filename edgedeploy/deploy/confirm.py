"""Confirm a release after the switch: it is the current one and the user's command accepts it, or it is taken back.

That it is confirmed is a fact on the device (`ID.unconfirmed` is gone). One that is confirmed is never taken back by a
command that fails later.
"""

from __future__ import annotations

from msgspec import structs

from edgedeploy.deploy.device_log import log_field
from edgedeploy.deploy.releases import Listing, find_release, list_releases, return_to
from edgedeploy.deploy.store import ReleaseFolder
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.values.bundle import Release

TIMEOUT_S = 600.0
"""For an application to be started anew, and looked at."""


def confirmed(
    folder: ReleaseFolder, command: str | None, *, timeout_s: float = TIMEOUT_S, awaits_verdict: bool = False
) -> tuple[Release, Listing]:
    """Ask the device anew what is current: the link has to lead to the release, and the manifest there to be its own.
    Then run the user's command, if there is one. What this push made current, or one before it that was cut, is taken
    back when it is not confirmed.

    Args:
        folder: of the release that was made current, by this push or before.
        command: for the device's shell; a status other than 0 is a no.
        timeout_s: for the command.
        awaits_verdict: what this push made current stays unconfirmed, until its verdict is known.

    Returns:
        The release, and all that the device has.

    Raises:
        DeviceError: it is not confirmed; what was current before is so again, or nothing is where nothing was. Where
            what was before is damaged by now, or the release was confirmed before, it stays current, and that is said.
        BusyError: the lock is another's by now.
        UnreachableError: the connection was lost. The release is current, and healthy; a push of the same bundle
            confirms it.
    """
    connection = folder.store.connection
    listing = list_releases(connection)
    release = find_release(listing, folder.name, folder.id)
    if release is None or not release.current:
        raise DeviceError(
            f"{connection.address} did not keep {folder.id} as the current release",
            why="its file system does not do what it says, or somebody else is at work there",
            hint=f"edgedeploy status {connection.address}",
        )
    is_new = folder.path in listing.unconfirmed
    is_confirmed, answer = (True, "") if command is None else _run(connection, command, timeout_s)
    if is_confirmed:
        if is_new and awaits_verdict:
            folder.await_verdict()
            release = structs.replace(release, awaits_verdict=True, verdict=None)
        elif is_new:
            folder.confirm()
            release = structs.replace(release, awaits_verdict=False)
        if command is not None:
            folder.note("confirmed", answer)
        return release, listing
    if is_new:
        outcome = _take_back(folder, release, listing, log_field(answer))
    else:
        folder.note("not-confirmed", answer)
        outcome = "it stays current, since it was confirmed before"
    raise DeviceError(
        f"{folder.id} was not confirmed on {connection.address}; {outcome}",
        why=answer,
        hint=f"run the command there by hand, mend it or the bundle, and push again: {command}",
    )


def _run(connection: Connection, command: str, timeout_s: float) -> tuple[bool, str]:
    """Run the user's command. Returns whether it said yes, and the end of what it wrote."""
    try:
        done = connection.run(["sh", "-c", command], timeout_s=timeout_s)
    except DeviceError as error:  # it did not end, or said too much
        return False, error.what
    if done.exit_status == 0:
        return True, last_lines(done.stdout + done.stderr, count=1)
    output = last_lines(done.stdout + done.stderr)
    return False, " | ".join(part for part in (output, f"exit status {done.exit_status}") if part)


def _take_back(folder: ReleaseFolder, release: Release, listing: Listing, why: str) -> str:
    """Make the release before it current again, or none where there is none. Says what is current then."""
    before = find_release(listing, folder.name, release.parent)
    if before is None:
        folder.switch_off(why)
        return f"no release of {folder.name} is current there"
    try:
        return_to(folder.store, before, release)
    except DeviceError as error:
        return f"it stays current, since there is no way back: {error.what}"
    folder.note("taken-back", why)
    return f"{before.id} is current again"
