"""Getting a bundle's files to a device: each content once, only what is missing, verified before it is used."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from edgedeploy.bundle.archive import offsets
from edgedeploy.deploy.scripts.receiving import APPEND, DAMAGED, FREE_KIB, PRESENT, STORE
from edgedeploy.deploy.scripts.shell import argv, failed, run
from edgedeploy.deploy.transfer.bandwidth import limited
from edgedeploy.deploy.transfer.compression import gzip_when_it_pays
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, IntegrityError
from edgedeploy.foundation.files import read_chunks
from edgedeploy.foundation.progress import Progress
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle

_RESERVE_BYTES = 8 << 20
"""Left free on the device: folders, links and the model's own needs."""
_WORTH_RESUMING_BYTES = 256 << 10
"""Less is sent again: going on takes a round trip of its own."""
_VERIFY_TIMEOUT_S = 900.0
"""Silence allowed while the device reads back hundreds of megabytes from a slow card."""


class Blob(Struct, frozen=True):
    path: Path
    """On this machine: of the file, or of the bundle in one file that it lies in."""
    size_bytes: int
    offset: int | None = None
    """Where it begins in `path`; None when it is all of that file."""

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Its bytes from `start` to `end`; without an end, of a file of its own all that there is."""
        if end is None and self.offset is None:
            return read_chunks(self.path, offset=start)
        size_bytes = (self.size_bytes if end is None else end) - start
        return read_chunks(self.path, offset=(self.offset or 0) + start, size_bytes=size_bytes)


class Sent(Struct, frozen=True):
    sent_files: int
    sent_bytes: int
    """Without what a push that was cut had sent."""
    kept_files: int
    resumed_bytes: int = 0
    """Sent by a push that was cut, found there and verified."""


def blobs(bundle: Bundle) -> dict[str, Blob]:
    """The bundle's contents by SHA-256, the manifest's own included."""
    listed = {entry.path: (entry.sha256, entry.size_bytes) for entry in bundle.manifest.files}
    manifest_bytes = bundle.size_bytes - sum(size_bytes for _, size_bytes in listed.values())
    listed[MANIFEST_NAME] = (bundle.sha256, manifest_bytes)
    if bundle.path.is_file():
        begins = offsets(bundle.manifest, manifest_bytes)
        return {sha256: Blob(bundle.path, size, begins[path]) for path, (sha256, size) in listed.items()}
    return {sha256: Blob(bundle.path / path, size) for path, (sha256, size) in listed.items()}


def send_missing(
    bundle: Bundle,
    connection: Connection,
    progress: Progress,
    *,
    copies: bool = False,
    bandwidth_bytes_per_s: int | None = None,
) -> Sent:
    """Bring every content of the bundle onto the device. Those that are there already are read and verified; of one
    that a push that was cut has sent in part, the rest is sent.

    Args:
        copies: the release will be copies of the contents, not hard links to them, and needs room of its own.
        bandwidth_bytes_per_s: send no more than that, in bytes as they go over the network.

    Raises:
        DeviceError: there is not enough room, or the device's file system fails.
        IntegrityError: a file of the bundle is not what its manifest says, or was damaged on the way.
    """
    wanted = blobs(bundle)
    progress.step(f"comparing {len(wanted)} files with those on {connection.address}")
    names = "".join(f"{sha256}\n" for sha256 in sorted(wanted)).encode()
    answer = run(connection, PRESENT, stdin=names, timeout_s=_VERIFY_TIMEOUT_S, doing="list its files")
    present, begun = _parsed(answer.stdout.decode("ascii", "replace"), wanted)
    missing = {sha256: wanted[sha256] for sha256 in sorted(wanted) if sha256 not in present}
    whole = {sha256: blob for sha256, blob in missing.items() if sha256 not in begun}
    resumed_bytes = sum(begun.values())
    total_bytes = sum(blob.size_bytes for blob in missing.values()) - resumed_bytes
    if missing:
        _check_room(connection, total_bytes + (bundle.size_bytes if copies else 0))
        progress.step(f"sending to {connection.address}")
    wire_bytes = _tar_bytes(whole.values()) + sum(missing[sha256].size_bytes - size for sha256, size in begun.items())
    count = _counter(wire_bytes, progress)
    for sha256, size_bytes in begun.items():
        progress.note(f"going on after {size_bytes:,} bytes of a push that was cut")
        script = argv(APPEND, sha256, str(size_bytes), str(missing[sha256].size_bytes))
        _send(connection, script, count(_rest(missing[sha256], size_bytes)), bandwidth_bytes_per_s)
    if whole:
        _send(connection, argv(STORE), count(_tar_of_blobs(whole)), bandwidth_bytes_per_s)
    return Sent(
        sent_files=len(missing),
        sent_bytes=total_bytes,
        kept_files=len(wanted) - len(missing),
        resumed_bytes=resumed_bytes,
    )


def _parsed(answer: str, wanted: Mapping[str, Blob]) -> tuple[set[str], dict[str, int]]:
    """Which contents the device has, and of which it has a beginning that is worth going on from, with its bytes."""
    present: set[str] = set()
    begun: dict[str, int] = {}
    for line in answer.splitlines():
        match line.split():
            case ["whole", sha256]:
                present.add(sha256)
            case ["begun", sha256, size, prefix] if sha256 in wanted and size.isascii() and size.isdigit():
                blob, size_bytes = wanted[sha256], int(size[:20])
                if _WORTH_RESUMING_BYTES <= size_bytes < blob.size_bytes and _prefix(blob, size_bytes) == prefix:
                    begun[sha256] = size_bytes
    return present, begun


def _prefix(blob: Blob, size_bytes: int) -> str:
    digest = hashlib.sha256()
    for chunk in blob.read(0, size_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def _send(connection: Connection, script: list[str], stream: Iterator[bytes], bytes_per_s: int | None) -> None:
    packed = limited(gzip_when_it_pays(stream), bytes_per_s)
    completed = connection.run(script, stdin=packed, timeout_s=_VERIFY_TIMEOUT_S)
    if completed.exit_status == DAMAGED:
        raise IntegrityError(
            f"{connection.address} received other bytes than were sent; it has dropped them",
            why=completed.stderr.decode(errors="replace").strip()[-300:],
            hint="push again; if it happens again, the bundle was changed since it was compiled: compile it again",
        )
    if completed.exit_status:
        raise failed(connection, "store what it was sent", completed)


def tar_of_links(prefix: str, links: Mapping[str, str]) -> Iterator[bytes]:
    """A tar archive that makes a release: its folders, and a hard link to a blob for each path.

    Args:
        prefix: the release's folder, relative to the store.
        links: from a path in the release to the SHA-256 of its content.
    """
    folders = {prefix}
    for path in links:
        parts = path.split("/")[:-1]
        folders.update("/".join((prefix, *parts[:depth])) for depth in range(1, len(parts) + 1))
    for folder in sorted(folders):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        yield entry.tobuf(tarfile.GNU_FORMAT)
    for path, sha256 in sorted(links.items()):
        entry = tarfile.TarInfo(f"{prefix}/{path}")
        entry.type, entry.linkname = tarfile.LNKTYPE, f"blobs/sha256/{sha256}"
        yield entry.tobuf(tarfile.GNU_FORMAT)
    yield _END_OF_ARCHIVE


def lines_of_copies(contents: Mapping[str, str]) -> bytes:
    """What makes a release where there are no hard links: a SHA-256 and a path on each line."""
    return "".join(f"{sha256} {path}\n" for path, sha256 in sorted(contents.items())).encode()


def _check_room(connection: Connection, needed_bytes: int) -> None:
    line = run(connection, FREE_KIB, doing="say how much room it has").stdout.decode(errors="replace").split()
    # POSIX `df -P`: file system, blocks of 1024 bytes, used, available, capacity, mount point.
    free_bytes = int(line[3]) * 1024 if len(line) >= 6 and line[3].isdigit() else None
    if free_bytes is not None and free_bytes < needed_bytes + _RESERVE_BYTES:
        raise DeviceError(
            f"{connection.address} has not enough room",
            why=f"{free_bytes:,} bytes are free, {needed_bytes + _RESERVE_BYTES:,} are needed",
            hint="free space in the home folder's file system there",
        )


_BLOCK_BYTES = 512
_END_OF_ARCHIVE = bytes(2 * _BLOCK_BYTES)


def _tar_bytes(sent: Iterable[Blob]) -> int:
    return sum(_BLOCK_BYTES + -(-blob.size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES for blob in sent) + 2 * _BLOCK_BYTES


def _tar_of_blobs(sent: Mapping[str, Blob]) -> Iterator[bytes]:
    for sha256, blob in sent.items():
        entry = tarfile.TarInfo(sha256)
        entry.size, entry.mode = blob.size_bytes, 0o644
        yield entry.tobuf(tarfile.GNU_FORMAT)
        yield from _rest(blob, 0)
        yield bytes(-blob.size_bytes % _BLOCK_BYTES)
    yield _END_OF_ARCHIVE


def _rest(blob: Blob, start: int) -> Iterator[bytes]:
    """The blob from `start` on; a file that has shrunk or grown since is told by its size."""
    size_bytes = start
    for chunk in blob.read(start):
        size_bytes += len(chunk)
        yield chunk
    if size_bytes != blob.size_bytes:
        raise IntegrityError(
            f"{blob.path} has {size_bytes} bytes, and its manifest says {blob.size_bytes}",
            hint="compile the bundle again",
        )


def _counter(total_bytes: int, progress: Progress) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """What tells of the progress of several streams, one after the other."""
    done = 0

    def counted(stream: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal done
        for chunk in stream:
            yield chunk
            done += len(chunk)
            progress.advance(done, total_bytes, "bytes")

    return counted
