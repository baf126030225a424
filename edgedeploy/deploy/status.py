"""Report what runs on a device: since when, by whom, its health, and the free space."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, structs

from edgedeploy.deploy.contents import StoreContents, read_stored
from edgedeploy.deploy.device_log import LogEntry, parse_log
from edgedeploy.deploy.health import run_check
from edgedeploy.deploy.releases import Listing, list_releases
from edgedeploy.deploy.scripts.asking import STATUS
from edgedeploy.deploy.scripts.running import run
from edgedeploy.deploy.unjudged import unconfirmed_in_words
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Connection
from edgedeploy.device.free_space import free_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.values.bundle import Release

_LOG_LINES = 2000
_HOLDER = re.compile(r" @[0-9]+$", re.ASCII)
"""After who holds the lock: when their process began."""
_BECAME_CURRENT = ("activated", "rolled-back")


class Running(Struct, frozen=True, kw_only=True):
    """A release that is current."""

    release: Release
    since: str | None
    """When it became so, UTC by the device's clock; None where its log does not go back so far."""
    by: str | None
    """Who made it so."""
    health: str | None
    """What its own check said then, in words."""
    health_now: str | None = None
    """What it says now; None when it was not asked."""
    healthy_now: bool | None = None
    """False too where its files are damaged: then nothing of it is run."""
    files_now: str | None = None
    """What is wrong with its files, each read and compared with its SHA-256; empty when all are whole, None when they
    were not read."""
    unconfirmed: str | None = None
    """Why nothing has accepted it, and what to do, in words; None where its push, or its `ship`, came to its end."""


class DeviceStatus(Struct, frozen=True, kw_only=True):
    """What a device says of itself."""

    device: str
    running: tuple[Running, ...]
    other_releases: int
    """Whole ones that are not current."""
    damaged: tuple[str, ...]
    """`NAME/ID` of releases whose manifest is missing or another one."""
    altered: Mapping[str, tuple[str, ...]] = {}
    """How the folders of releases differ from their manifests, by `NAME/ID`: see `Listing.altered`."""
    used_bytes: int | None
    """By all that edgedeploy put there."""
    free_bytes: int | None
    """On that file system."""
    store: StoreContents
    """The contents that it holds, and those that no release needs."""
    busy: str | None
    """Who holds its lock, as `user@host`; a holder that died is named too, until the next change finds out."""


def status(connection: Connection, *, check_health: bool = False, progress: Progress = SILENT) -> DeviceStatus:
    """Ask a device what runs there. No release is changed.

    Args:
        check_health: verify the files of each current release there, load it and run its golden inputs. What Python
            made of its sources at an earlier check is made anew.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    listing = list_releases(connection, check_layout=True)
    answer = run(connection, STATUS, str(_LOG_LINES), doing="say what runs there").stdout.decode(errors="replace")
    head, _, log = answer.partition("\nlog\n")
    facts = dict(line.split(" ", 1) for line in head.splitlines() if " " in line)
    entries = parse_log(log)
    running = []
    for release in listing.releases:
        if release.current:
            running.append(_running(release, listing, entries))
            if check_health:
                running[-1] = _with_health(running[-1], connection, progress)
    return DeviceStatus(
        device=connection.address,
        running=tuple(running),
        other_releases=len(listing.releases) - len(running),
        damaged=listing.damaged,
        altered=listing.altered,
        used_bytes=_bytes(facts.get("used_kib", "")),
        free_bytes=free_bytes(facts.get("disk", "")),
        store=read_stored(connection).figures(listing),
        busy=_HOLDER.sub("", " ".join(facts.get("lock", "").split(" ")[2:])) or None,
    )


def health(connection: Connection, release: Release, progress: Progress = SILENT) -> tuple[str, bool]:
    """Load a release on its device and run its golden inputs. Returns its report in words, and whether it is healthy.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    progress.step(f"checking the health of {release.id}")
    found = run_check(connection, release.name, release.id)
    return found.words, found.healthy


def _with_health(running: Running, connection: Connection, progress: Progress) -> Running:
    """Verify the files of what is current, and run its check only if they are whole."""
    progress.step(f"verifying {running.release.id}")
    if wrong := broken_files(connection, running.release):
        return structs.replace(running, files_now=wrong, health_now=f"damaged: {wrong}", healthy_now=False)
    words, healthy = health(connection, running.release, progress)
    return structs.replace(running, files_now="", health_now=words, healthy_now=healthy)


def _running(release: Release, listing: Listing, entries: tuple[LogEntry, ...]) -> Running:
    ours = [entry for entry in entries if entry.name == release.name and entry.event in _BECAME_CURRENT]
    # What became current last is what is current; another one means that this log lost its end.
    last = ours[-1] if ours and ours[-1].release == release.id else None
    return Running(
        release=release,
        since=last.at if last else None,
        by=last.by if last else None,
        health=last.detail or None if last else None,
        unconfirmed=unconfirmed_in_words(listing, release),
    )


def _bytes(kib: str) -> int | None:
    return int(kib) << 10 if kib.isascii() and kib.isdigit() and len(kib) <= 15 else None
