"""List the releases on a device, find the current one, and roll back."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec
from msgspec import Struct, structs

from edgedeploy.deploy.health import derive_bytecode
from edgedeploy.deploy.preflight import check_manifest
from edgedeploy.deploy.repair import repair
from edgedeploy.deploy.scripts.asking import LIST
from edgedeploy.deploy.scripts.running import run
from edgedeploy.deploy.store import DeviceStore, open_store
from edgedeploy.deploy.verification import altered_releases, broken_files
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, IntegrityError, UnknownNameError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.foundation.validation import NAME_PATTERN, is_name
from edgedeploy.values.bundle import Manifest, Release

_ID_DIGITS = 12
_ID = re.compile(rf"(?!.*\.\.){NAME_PATTERN}-[0-9a-f]{{{_ID_DIGITS}}}")
_SIZE = re.compile("[0-9]{1,9}", re.ASCII)
_VERDICTS: Final[Mapping[str, Literal["holds", "breaks", "cannot be told"]]] = {
    "holds": "holds",
    "breaks": "breaks",
    "undetermined": "cannot be told",
}


class Listing(Struct, frozen=True):
    releases: tuple[Release, ...]
    damaged: tuple[str, ...]
    """`NAME/ID` of folders whose manifest is missing or not the one that the ID names."""
    unreadable: tuple[str, ...] = ()
    """`NAME/ID` of folders whose manifest is the one that the ID names, and one that this version does not take."""
    manifests: Mapping[str, str] = {}
    """The SHA-256 of each manifest that is the one that its `NAME/ID` names."""
    altered: Mapping[str, tuple[str, ...]] = {}
    """By `NAME/ID`, how the folders of releases differ from their manifests: files that are missing or of another kind,
    files that are not of the release, modes. Contents are not read. Empty where nobody looked."""
    unconfirmed: frozenset[str] = frozenset()
    """`NAME/ID` of releases that a push brought or made current, and did not confirm: it was cut, or they were taken
    back, or their verdict is not known yet."""

    def without(self, paths: Collection[str]) -> Listing:
        """Return the same without some releases, each as `NAME/ID`."""
        return structs.replace(
            self,
            releases=tuple(each for each in self.releases if f"{each.name}/{each.id}" not in paths),
            manifests={path: sha256 for path, sha256 in self.manifests.items() if path not in paths},
            unconfirmed=self.unconfirmed.difference(paths),
        )


def release_id(version: str, bundle_sha256: str) -> str:
    """Make `VERSION-` and the first 12 digits of the bundle's SHA-256: other content is another release."""
    return f"{version}-{bundle_sha256[:_ID_DIGITS]}"


def list_releases(connection: Connection, *, check_layout: bool = False) -> Listing:
    """List all releases on the device, in one round trip.

    Args:
        check_layout: compare what is in their folders with their manifests, in another round trip: `Listing.altered`.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    answer = run(connection, LIST, doing="list its releases").stdout
    home, _, rest = answer.partition(b"\n")
    root = PurePosixPath(home.decode(errors="replace")) / ".edgedeploy" / "releases"
    found: list[Release] = []
    damaged: list[str] = []
    unreadable: list[str] = []
    manifests: dict[str, str] = {}
    entries = list(_entries(rest, connection.address))
    for entry in entries:
        manifest = _manifest(entry.manifest, entry.id)
        sha256 = hashlib.sha256(entry.manifest).hexdigest()
        is_itself = bool(entry.manifest) and entry.id.endswith(sha256[:_ID_DIGITS])
        if is_itself:
            manifests[entry.path] = sha256
        if manifest is None or manifest.name != entry.name:
            (unreadable if is_itself else damaged).append(entry.path)
            continue
        found.append(
            Release(
                device=connection.address,
                name=entry.name,
                id=entry.id,
                path=str(root / entry.path),
                current=entry.current,
                parent=entry.parent,
                manifest=manifest,
                awaits_verdict=entry.awaits_verdict,
                verdict=entry.verdict,
            )
        )
    return Listing(
        releases=tuple(found),
        altered=altered_releases(connection, found) if check_layout else {},
        damaged=tuple(damaged),
        unreadable=tuple(unreadable),
        manifests=manifests,
        unconfirmed=frozenset({entry.path for entry in entries if not entry.confirmed} - {*damaged, *unreadable}),
    )


class _Entry(Struct, frozen=True):
    """What a device says of one release, its manifest as it is there."""

    name: str
    id: str
    current: bool
    confirmed: bool
    awaits_verdict: bool
    verdict: Literal["holds", "breaks", "cannot be told"] | None
    parent: str | None
    manifest: bytes

    @property
    def path(self) -> str:
        return f"{self.name}/{self.id}"


def _entries(answer: bytes, address: str) -> Iterator[_Entry]:
    """Read the answer of `LIST` after its first line: for each release a line of words, then its manifest."""
    while answer:
        line, _, answer = answer.partition(b"\n")
        words = line.decode(errors="replace").split(" ")
        if len(words) != 6 or not _SIZE.fullmatch(words[5]):
            raise DeviceError(f"{address} lists its releases in an unknown way", why=repr(line[:200]))
        name, identity, current, state, parent, size = words
        confirmed, _, verdict = state.partition(":")
        content, answer = answer[: int(size)], answer[int(size) :]
        if is_name(name) and _ID.fullmatch(identity):  # else it is none of ours
            yield _Entry(
                name=name,
                id=identity,
                current=current == "yes",
                confirmed=confirmed not in ("no", "awaits"),
                awaits_verdict=state == "awaits",
                verdict=_VERDICTS.get(verdict),
                parent=parent if _ID.fullmatch(parent) else None,
                manifest=content,
            )


def find_release(listing: Listing, name: str, identity: str | None) -> Release | None:
    """Find a whole release of a model by its ID; None when it is not there."""
    return next((each for each in listing.releases if (each.name, each.id) == (name, identity)), None)


def no_way_back(listing: Listing, release: Release) -> str:
    """Say why there is nothing to return to from a release whose parent is not there, or that has none."""
    if release.parent is not None:
        return f"the release before it, {release.parent}, is not whole or not there any more"
    # What a stopped ship or push left there is no way back.
    path = f"{release.name}/{release.id}"
    others = {f"{each.name}/{each.id}" for each in listing.releases if each.name == release.name} - {path}
    if others & listing.unconfirmed:
        return "no release before it was accepted"
    return "there is no release before it: it is the first one"


def releases(connection: Connection) -> tuple[Release, ...]:
    """List all whole releases on the device, by name and ID."""
    return list_releases(connection).releases


def current_release(connection: Connection, name: str | None = None) -> Release:
    """Find the release that is current.

    Args:
        name: of the model; may be left out when the device has one only.

    Raises:
        UnknownNameError: there is no such model there, or several and no name.
        DeviceError: nothing is current there.
    """
    return find_current(list_releases(connection), connection.address, name)


def find_current(listing: Listing, address: str, name: str | None = None) -> Release:
    """Find the release that is current among those of a device. Takes and raises what `current_release` does."""
    current = {release.name: release for release in listing.releases if release.current}
    if name is None and len(current) == 1:
        return next(iter(current.values()))
    if name is not None and name in current:
        return current[name]
    if not current:
        raise DeviceError(
            f"{address} has no current release",
            why=f"damaged: {', '.join(listing.damaged)}" if listing.damaged else "",
            hint=f"edgedeploy push BUNDLE --to {address}",
        )
    known = ", ".join(sorted(current))
    if name is None:
        raise UnknownNameError(f"{address} has several models: {known}", hint="say which with --name")
    raise UnknownNameError(f"{address} has no model {name!r}", why=f"it has: {known}", hint=did_you_mean(name, current))


def other_release(connection: Connection, release: Release, wanted: str) -> Release:
    """Find another release of the same model on the device.

    Args:
        wanted: its ID, or `"previous"`: the one that was current before `release`.

    Raises:
        UnknownNameError: it is not there, or is `release` itself.
    """
    others = {each.id: each for each in releases(connection) if each.name == release.name and each.id != release.id}
    identity = release.parent if wanted == "previous" else wanted
    if identity is None or identity not in others:
        what = "release before it" if wanted == "previous" else f"other release {wanted!r}"
        raise UnknownNameError(
            f"{connection.address} has no {what} of {release.name}, beside {release.id}",
            why=f"it has: {', '.join(sorted(others)) or 'no other'}",
            hint=did_you_mean(wanted, (*others, "previous"), f"edgedeploy releases {connection.address}"),
        )
    return others[identity]


def rollback(connection: Connection, name: str | None = None, *, progress: Progress = SILENT) -> Release:
    """Make the release current that was so before, in one atomic switch. Its files are verified first.

    Returns:
        The release that is current now.

    Raises:
        DeviceError: there is none before, or it is not whole any more, or not signed where the device asks for that.
            What is current stays so.
        BusyError: another edgedeploy is at work there.
    """
    with open_store(connection) as store:
        store.require_switch()
        listing = list_releases(connection)
        now = find_current(listing, connection.address, name)
        before = find_release(listing, now.name, now.parent)
        if before is None:
            raise DeviceError(
                f"there is no release before {now.id} on {connection.address}",
                why=no_way_back(listing, now),
                hint=f"see what there is: edgedeploy releases {connection.address}",
            )
        progress.step(f"verifying {before.id}")
        return_to(store, before, now, progress)
    return structs.replace(before, current=True)


def return_to(store: DeviceStore, before: Release, now: Release, progress: Progress = SILENT) -> None:
    """Make a release current again that was so before, once its files are verified. One that is damaged is repaired
    first, where the device has all of it whole somewhere.

    Args:
        now: the release that is current.

    Raises:
        DeviceError: it is not whole any more, or not signed where the device asks for that. What is current stays so.
        BusyError: the lock is another's by now.
    """
    folder = store.release(before.name, before.id)
    if wrong := broken_files(store.connection, before):
        listing = list_releases(store.connection)
        still_wrong = wrong
        # A step, not a note: it is told in a pipe too.
        progress.step(f"repairing {before.id}, which is damaged: {wrong}")
        with contextlib.suppress(DeviceError):
            if repair(folder, before, listing.manifests.get(folder.path, ""), listing.releases):
                still_wrong = broken_files(store.connection, before)
        if still_wrong:
            raise DeviceError(
                f"release {before.id} on {store.address} is damaged; {now.id} stays current",
                why=still_wrong,
                hint="push that bundle again",
            )
    if store.asks_for_signatures():
        folder.verify_signature()
    # Before anything can start it: what ran it may have left anything there.
    folder.drop_bytecode()
    folder.make_current_again()
    derive_bytecode(store.connection, before.manifest, before.id)


def _manifest(content: bytes, identity: str) -> Manifest | None:
    """Decode the manifest of a release folder; None when it is not the one that the folder's name stands for."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        check_manifest(manifest)
    except (msgspec.MsgspecError, IntegrityError):
        return None
    same = release_id(manifest.version, hashlib.sha256(content).hexdigest()) == identity
    return manifest if same else None
