"""Choose which releases of a model stay on a device after a push."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgedeploy.values.bundle import Release

LEAST = 2
"""The current one, and where a rollback goes."""
DEFAULT = 5


def check_keep(keep: int) -> None:
    """Raise ValueError when `keep` is under `LEAST`."""
    if keep < LEAST:
        raise ValueError(f"{keep} releases are too few to keep: the current one and the one before always stay")


def superseded(releases: Sequence[Release], name: str, keep: int) -> tuple[Release, ...]:
    """Choose the releases of a model that are to go, so that `keep` stay.

    The current one stays, then those that were current before it, the latest first, as each says which it followed;
    then what was taken back or never was current. Without a current one nothing goes.

    Raises:
        ValueError: `keep` is under `LEAST`.
    """
    check_keep(keep)
    mine = {release.id: release for release in releases if release.name == name}
    history = list(_history(mine))
    others = [release for release in mine.values() if release not in history]
    return tuple((history + others)[keep:]) if history else ()


def _history(mine: dict[str, Release]) -> Iterator[Release]:
    """Yield the current release, the one before it, and so on: as far as they are on the device."""
    at = next((release for release in mine.values() if release.current), None)
    seen: set[str] = set()
    # Two that were pushed in turn, A, B, A, follow each other.
    while at is not None and at.id not in seen:
        yield at
        seen.add(at.id)
        at = mine.get(at.parent) if at.parent else None
