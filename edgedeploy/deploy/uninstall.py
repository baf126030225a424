"""Remove releases, a model, or everything from a device."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edgedeploy.deploy.contents import contents_of, sweep
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.releases import Listing, list_releases
from edgedeploy.deploy.scripts.placing import UNINSTALL_ALL
from edgedeploy.deploy.scripts.running import run
from edgedeploy.deploy.store import DeviceStore, open_store
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, UnknownNameError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.values.bundle import Release

_SWEEP_TIMEOUT_S = 600.0


class Removed(Struct, frozen=True, kw_only=True):
    """What was removed."""

    device: str
    releases: tuple[str, ...]
    """`NAME/ID`."""
    freed_bytes: int
    """Of contents that no other release refers to."""


def uninstall(
    connection: Connection,
    name: str | None = None,
    *,
    releases: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Removed:
    """Remove a model from a device, or some releases of it, and the contents that nothing else there needs.

    What is current goes first, in one step: an application that looks for it then finds a release that is whole, or
    none.

    Args:
        name: of the model; may be left out when the device has one only.
        releases: IDs; none for the model with all that belongs to it.

    Raises:
        UnknownNameError: there is no such model or release.
        DeviceError: one of `releases` is current, or is where `rollback` goes.
        BusyError: another edgedeploy is at work there.
    """
    with open_store(connection) as store:
        listing = list_releases(connection)
        model = _model(connection, listing, name)
        mine = [release for release in listing.releases if release.name == model]
        gone = [_found(connection, mine, identity) for identity in releases] if releases else mine
        for release in gone if releases else ():
            _refuse_what_is_needed(connection, release, mine)
        progress.step(f"removing {model}")
        if releases:
            store.remove_releases(model, [release.id for release in gone])
        else:
            store.uninstall_model(model)  # with its damaged folders
        freed_bytes = _sweep(store, gone, listing)
    return Removed(
        device=connection.address,
        releases=tuple(f"{release.name}/{release.id}" for release in gone),
        freed_bytes=freed_bytes,
    )


def retire(store: DeviceStore, name: str, identities: Sequence[str], listing: Listing) -> None:
    """Remove releases of one model that are not current, and the contents that nothing else needs.

    Args:
        identities: one at least; damaged releases may be among them.
        listing: all that is on the device.

    Raises:
        DeviceError, BusyError, UnreachableError: as `DeviceStore.run` does.
    """
    gone = [release for release in listing.releases if release.name == name and release.id in identities]
    store.remove_releases(name, identities)
    _sweep(store, gone, listing)


def uninstall_everything(connection: Connection) -> Removed:
    """Remove all that edgedeploy ever put on a device, its log included.

    Raises:
        BusyError: another edgedeploy is at work there.
        DeviceError: the device cannot do it.
    """
    with device_lock(connection) as lock:
        gone = list_releases(connection).releases
        run(connection, UNINSTALL_ALL, doing="remove the releases", timeout_s=_SWEEP_TIMEOUT_S, lock=lock)
    connection.run(["sh", "-c", "rmdir .edgedeploy 2>/dev/null"])
    return Removed(
        device=connection.address,
        releases=tuple(f"{release.name}/{release.id}" for release in gone),
        freed_bytes=sum(contents_of(gone).values()),
    )


def _model(connection: Connection, listing: Listing, name: str | None) -> str:
    others = {path.split("/")[0] for path in (*listing.damaged, *listing.unreadable)}
    known = sorted({release.name for release in listing.releases} | others)
    if name is None and len(known) == 1:
        return known[0]
    if name in known:
        return str(name)
    if not known:
        raise UnknownNameError(f"{connection.address} has no releases")
    what = "several models" if name is None else f"no model {name!r}"
    otherwise = f"it has: {', '.join(known)}; say which by --name"
    raise UnknownNameError(f"{connection.address} has {what}", hint=did_you_mean(name or "", known, otherwise))


def _found(connection: Connection, mine: Sequence[Release], identity: str) -> Release:
    for release in mine:
        if release.id == identity:
            return release
    known = [release.id for release in mine]
    raise UnknownNameError(
        f"{connection.address} has no release {identity!r}",
        why=f"it has: {', '.join(known)}",
        hint=did_you_mean(identity, known, f"edgedeploy releases {connection.address}"),
    )


def _refuse_what_is_needed(connection: Connection, release: Release, mine: Sequence[Release]) -> None:
    if release.current:
        raise DeviceError(
            f"{release.id} is current on {connection.address}",
            hint=f"edgedeploy rollback {connection.address} --name {release.name}, or remove the whole model: leave "
            "--release out"
            if any(each.id == release.parent for each in mine)
            else "push another release first, or remove the whole model: leave --release out",
        )
    if any(each.current and each.parent == release.id for each in mine):
        raise DeviceError(
            f"{release.id} is where a rollback on {connection.address} would go",
            hint="push another release first, or remove the whole model: leave --release out",
        )


def _sweep(store: DeviceStore, gone: Sequence[Release], listing: Listing) -> int:
    """Remove the contents that no release refers to any more. Returns the bytes of those that are known."""
    paths = {f"{release.name}/{release.id}" for release in gone}
    left = listing.without(paths)
    sweep(store, left)
    kept = contents_of(left.releases)
    return sum(size_bytes for sha256, size_bytes in contents_of(gone).items() if sha256 not in kept)
