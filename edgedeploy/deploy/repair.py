"""Make a damaged release whole again of what its device has: nothing is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from edgedeploy.deploy.scripts.verifying import RELINK
from edgedeploy.deploy.store import DeviceStore, ReleaseFolder
from edgedeploy.deploy.transfer.transfer import lacking
from edgedeploy.values.bundle import MANIFEST_NAME, Release

_TIMEOUT_S = 600.0


class ContentPlace(Struct, frozen=True):
    """A file in a release that a content belongs to."""

    path: str
    """In the device's folder of releases: `NAME/ID/…`."""
    executable: bool


def places_of(releases: Iterable[Release]) -> dict[str, list[ContentPlace]]:
    """List where on a device each content belongs, by SHA-256, whether it is whole there or not."""
    places: dict[str, list[ContentPlace]] = {}
    for release in releases:
        for entry in release.manifest.files:
            place = ContentPlace(f"{release.name}/{release.id}/{entry.path}", entry.executable)
            places.setdefault(entry.sha256, []).append(place)
    return places


def paths_of(places: Mapping[str, Sequence[ContentPlace]]) -> dict[str, list[str]]:
    """Return the paths alone, as `transfer.send_missing` takes them."""
    return {sha256: [place.path for place in found] for sha256, found in places.items()}


def relink(store: DeviceStore, renewed: Collection[str], places: Mapping[str, Sequence[ContentPlace]]) -> None:
    """Give other releases the contents that the store has anew: what they had in their place was the damaged file
    itself, by another name.

    Args:
        renewed: SHA-256s.

    Raises:
        DeviceError, BusyError, UnreachableError: as `DeviceStore.run` does.
    """
    lines = [
        f"{sha256} {'run' if place.executable else 'plain'} {place.path}\n"
        for sha256 in sorted(renewed)
        for place in places.get(sha256, ())
    ]
    if lines:
        store.run(RELINK, stdin="".join(lines).encode(), timeout_s=_TIMEOUT_S, doing="repair its other releases")


def repair(folder: ReleaseFolder, release: Release, manifest_sha256: str, on_device: Sequence[Release]) -> bool:
    """Assemble a damaged release anew, if all of its contents are whole somewhere on the device.

    Args:
        folder: the release's.
        manifest_sha256: of its manifest.
        on_device: all releases there.

    Returns:
        Whether it was assembled. If not, it is as it was.

    Raises:
        DeviceError, BusyError, UnreachableError: as `DeviceStore.run` does.
    """
    contents = {entry.path: entry.sha256 for entry in release.manifest.files} | {MANIFEST_NAME: manifest_sha256}
    places = places_of(on_device)
    if lacking(folder.store.connection, contents.values(), name=folder.name, elsewhere=paths_of(places)):
        folder.discard()
        return False
    folder.assemble(contents, [entry.path for entry in release.manifest.files if entry.executable])
    folder.place()
    return True
