"""What a device's store holds, which of it no release needs, and removing that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from edgedeploy.deploy.releases import Listing
from edgedeploy.deploy.scripts.running import run
from edgedeploy.deploy.scripts.sweeping import CONTENTS, SWEEP
from edgedeploy.deploy.store import DeviceStore
from edgedeploy.deploy.transfer.transfer import RESERVE_BYTES
from edgedeploy.device.connection import Connection
from edgedeploy.device.free_space import free_bytes
from edgedeploy.foundation.validation import is_name
from edgedeploy.values.bundle import MANIFEST_NAME, Release

_INTERRUPTED_KEPT = 2
"""Interrupted transfers whose contents stay for their resume: two models that are sent in turn over a bad network both
arrive, and what never arrives takes no more than that."""
_SWEEP_TIMEOUT_S = 600.0
_SHA256 = re.compile("[0-9a-f]{64}")
_COUNT = re.compile("[0-9]{1,15}", re.ASCII)


class StoreContents(Struct, frozen=True, kw_only=True):
    """What a device's store holds, in figures."""

    files: int
    """Contents: each counts once, however many releases have it."""
    size_bytes: int
    """Of these."""
    unneeded_files: int
    """Of these, that no release there has: they came with an interrupted or refused push."""
    unneeded_bytes: int
    partial_bytes: int
    """Of beginnings of contents, as interrupted transfers left them."""


class Transfer(Struct, frozen=True):
    """A transfer to a device that did not come to its end."""

    name: str
    """Of the model."""
    wanted: frozenset[str]
    """The SHA-256s of what it was to bring."""


class StoredContents(Struct, frozen=True, kw_only=True):
    """The contents in a device's store, by SHA-256."""

    sizes_bytes: Mapping[str, int]
    linked: frozenset[str]
    """Those that a folder of some release has too, readable or not: removing them would free nothing."""
    partial_bytes: Mapping[str, int]
    """Beginnings of contents."""
    interrupted: tuple[Transfer, ...] = ()
    """The latest first."""
    free_bytes: int | None = None

    def unneeded(self, kept: frozenset[str]) -> tuple[str, ...]:
        """List the contents that are neither `kept` nor a release's."""
        return tuple(sorted(self.sizes_bytes.keys() - kept - self.linked))

    def figures(self, listing: Listing) -> StoreContents:
        """Count them, against the releases that are there."""
        unneeded = self.unneeded(needed(listing))
        return StoreContents(
            files=len(self.sizes_bytes),
            size_bytes=sum(self.sizes_bytes.values()),
            unneeded_files=len(unneeded),
            unneeded_bytes=sum(self.sizes_bytes[sha256] for sha256 in unneeded),
            partial_bytes=sum(self.partial_bytes.values()),
        )


def needed(listing: Listing) -> frozenset[str]:
    """List the SHA-256s that the releases of a device refer to, their manifests included."""
    return frozenset(contents_of(listing.releases)) | frozenset(listing.manifests.values())


def contents_of(releases: Sequence[Release]) -> dict[str, int]:
    """List sizes in bytes by SHA-256, without the manifests."""
    return {
        entry.sha256: entry.size_bytes
        for release in releases
        for entry in release.manifest.files
        if entry.path != MANIFEST_NAME
    }


def read_stored(connection: Connection) -> StoredContents:
    """List what a device's store holds, in one round trip. What is not named as a SHA-256 is left out.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    sizes: dict[str, int] = {}
    partial: dict[str, int] = {}
    linked: set[str] = set()
    interrupted: list[tuple[str, set[str]]] = []
    disk = ""
    answer = run(connection, CONTENTS, doing="list what its store holds").stdout.decode(errors="replace")
    for line in answer.splitlines():
        match line.split():
            case ["blob", links, size, sha256] if _SHA256.fullmatch(sha256) and _COUNT.fullmatch(size):
                sizes[sha256] = int(size)
                if links != "1":
                    linked.add(sha256)
            case ["part", _, size, sha256] if _SHA256.fullmatch(sha256) and _COUNT.fullmatch(size):
                partial[sha256] = int(size)
            case ["transfer", name] if is_name(name):
                interrupted.append((name, set()))
            case ["wants", sha256] if interrupted and _SHA256.fullmatch(sha256):
                interrupted[-1][1].add(sha256)
            case ["disk", *_]:
                disk = line.removeprefix("disk ")
    return StoredContents(
        sizes_bytes=sizes,
        linked=frozenset(linked),
        partial_bytes=partial,
        interrupted=tuple(Transfer(name, frozenset(hashes)) for name, hashes in interrupted),
        free_bytes=free_bytes(disk),
    )


def sweep(store: DeviceStore, listing: Listing, wanted: Mapping[str, int] | None = None) -> None:
    """Remove the contents that no release needs.

    Those of the latest interrupted transfers stay for their resume, as long as there is room for what is wanted.

    Args:
        listing: all that is on the device.
        wanted: sizes in bytes by SHA-256 of what is about to be sent.

    Raises:
        DeviceError, BusyError, UnreachableError: as `DeviceStore.run` does.
    """
    wanted = wanted or {}
    stored = read_stored(store.connection)
    kept = needed(listing) | frozenset(wanted)
    resumable = stored.interrupted[:_INTERRUPTED_KEPT]
    if _lacks_room(stored, wanted, stored.unneeded(kept.union(*(each.wanted for each in resumable)))):
        resumable = ()
    kept = kept.union(*(each.wanted for each in resumable))
    paths = [
        *(f"blobs/sha256/{sha256}" for sha256 in stored.unneeded(kept)),
        *(f"partial/{sha256}" for sha256 in sorted(stored.partial_bytes.keys() - kept)),
        *(f"partial/.wanted.{each.name}" for each in stored.interrupted if each not in resumable),
    ]
    if paths:
        store.run(
            SWEEP,
            stdin="".join(f"{path}\n" for path in paths).encode(),
            timeout_s=_SWEEP_TIMEOUT_S,
            doing="sweep its store",
        )


def _lacks_room(stored: StoredContents, wanted: Mapping[str, int], unneeded: Sequence[str]) -> bool:
    """Tell whether what is wanted has no room on the device when `unneeded` has gone."""
    if stored.free_bytes is None or not wanted:
        return False
    missing_bytes = sum(size_bytes for sha256, size_bytes in wanted.items() if sha256 not in stored.sizes_bytes)
    freed_bytes = sum(stored.sizes_bytes[sha256] for sha256 in unneeded)
    return stored.free_bytes + freed_bytes < missing_bytes + RESERVE_BYTES
