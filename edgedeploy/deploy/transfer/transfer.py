"""Send contents to a device: each once, only what is missing, verified before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from edgedeploy.deploy.scripts.receiving import APPEND, DAMAGED, FREE, PRESENT, STORE
from edgedeploy.deploy.scripts.running import NO_INODES, argv, failed, run
from edgedeploy.deploy.scripts.verifying import RECOVER
from edgedeploy.deploy.transfer.bandwidth import limited
from edgedeploy.deploy.transfer.blobs import Blob
from edgedeploy.deploy.transfer.compression import gzip_when_it_pays
from edgedeploy.deploy.transfer.streams import tar_of_blobs, tar_of_blobs_bytes
from edgedeploy.device.connection import Connection
from edgedeploy.device.free_space import free_bytes, free_inodes
from edgedeploy.foundation.errors import DeviceError, IntegrityError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.foundation.progress import Progress

RESERVE_BYTES = 8 << 20
"""Left free on the device: folders, links and the model's own needs."""
RESERVE_INODES = 32
"""The same: the lock, the log, links."""
_WORTH_RESUMING_BYTES = 256 << 10
"""Less is sent again: going on takes a round trip of its own."""
_VERIFY_TIMEOUT_S = 900.0
"""Silence allowed while the device reads back hundreds of megabytes from a slow card."""


class Sent(Struct, frozen=True):
    """What a transfer sent, and what it did not have to."""

    sent_files: int
    sent_bytes: int
    """Without what an interrupted push had sent."""
    kept_files: int
    resumed_bytes: int = 0
    """Sent by an interrupted push, found there and verified."""
    renewed: frozenset[str] = frozenset()
    """SHA-256s of contents that the store did not have, or not whole, and has now."""


class _Missing(Struct, frozen=True):
    """The contents that a device lacks, by SHA-256."""

    whole: Mapping[str, Blob]
    """Of which it has nothing."""
    begun: Mapping[str, tuple[Blob, int]]
    """Of which it has so many of the first bytes."""
    recovered: frozenset[str]
    """What it lacked in its store, and had in a release."""

    @property
    def files(self) -> int:
        return len(self.whole) + len(self.begun)

    @property
    def size_bytes(self) -> int:
        return sum(blob.size_bytes for blob in self.whole.values()) + self.begun_rest_bytes

    @property
    def begun_rest_bytes(self) -> int:
        return sum(blob.size_bytes - begun_bytes for blob, begun_bytes in self.begun.values())

    @property
    def resumed_bytes(self) -> int:
        return sum(begun_bytes for _, begun_bytes in self.begun.values())


def send_missing(
    wanted: Mapping[str, Blob],
    connection: Connection,
    progress: Progress,
    *,
    name: str,
    elsewhere: Mapping[str, Sequence[str]] = {},
    room_for_copies_bytes: int = 0,
    inodes: int = 0,
    bandwidth_bytes_per_s: int | None = None,
) -> Sent:
    """Bring contents onto the device. Those that are there already are read and verified; of one that an interrupted
    push has sent in part, the rest is sent.

    Args:
        wanted: by SHA-256.
        name: of the model that they are for.
        elsewhere: by SHA-256, paths in the folder of releases where contents belong. What is whole there is not sent.
        room_for_copies_bytes: needed beside the contents, where the release will not be hard links to them.
        inodes: needed beside those of the contents, for folders, copies and links.
        bandwidth_bytes_per_s: send no more than that, in bytes as they go over the network.

    Raises:
        DeviceError: there is not enough room, or the device's file system fails.
        IntegrityError: a file of the bundle is not what its manifest says, or was damaged on the way.
    """
    progress.step(f"comparing {len(wanted)} files with those on {connection.address}")
    missing = _missing(connection, wanted, name, elsewhere)
    if missing.files:
        _check_room(connection, missing.size_bytes + room_for_copies_bytes, missing.files + inodes)
        progress.step(f"sending to {connection.address}")
        _send(connection, missing, progress, bandwidth_bytes_per_s)
    return Sent(
        sent_files=missing.files,
        sent_bytes=missing.size_bytes,
        kept_files=len(wanted) - missing.files,
        resumed_bytes=missing.resumed_bytes,
        renewed=missing.recovered.union(missing.whole, missing.begun),
    )


def lacking(
    connection: Connection, wanted: Iterable[str], *, name: str, elsewhere: Mapping[str, Sequence[str]]
) -> frozenset[str]:
    """Find out which contents a device has nowhere whole. What a release has whole, its store gets back.

    Args:
        wanted: SHA-256s.
        name, elsewhere: as `send_missing` takes them.

    Raises:
        DeviceError: the device cannot do it.
    """
    names = frozenset(wanted)
    absent = names - {line.split(" ")[1] for line in _present(connection, names, name) if line.startswith("whole ")}
    return absent - _recovered(connection, absent, elsewhere)


def _present(connection: Connection, wanted: Iterable[str], name: str) -> list[str]:
    names = "".join(f"{sha256}\n" for sha256 in sorted(wanted)).encode()
    answer = run(connection, PRESENT, name, stdin=names, timeout_s=_VERIFY_TIMEOUT_S, doing="list its files")
    return answer.stdout.decode("ascii", "replace").splitlines()


def _recovered(connection: Connection, absent: Iterable[str], elsewhere: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Let the store take back what a release has whole. Returns the SHA-256s of that."""
    lines = [f"{sha256} {path}\n" for sha256 in sorted(absent) for path in elsewhere.get(sha256, ())]
    if not lines:
        return frozenset()
    stdin = "".join(lines).encode()
    answer = run(connection, RECOVER, stdin=stdin, timeout_s=_VERIFY_TIMEOUT_S, doing="look into its releases")
    return frozenset(answer.stdout.decode("ascii", "replace").split()).intersection(absent)


def _missing(
    connection: Connection, wanted: Mapping[str, Blob], name: str, elsewhere: Mapping[str, Sequence[str]]
) -> _Missing:
    """Ask the device which contents it has whole, and of which it has a beginning that is worth going on from."""
    present: set[str] = set()
    begun: dict[str, tuple[Blob, int]] = {}
    for line in _present(connection, wanted, name):
        match line.split():
            case ["whole", sha256]:
                present.add(sha256)
            case ["begun", sha256, size, prefix] if sha256 in wanted and size.isascii() and size.isdigit():
                blob, size_bytes = wanted[sha256], int(size[:20])
                if _WORTH_RESUMING_BYTES <= size_bytes < blob.size_bytes and blob.prefix_sha256(size_bytes) == prefix:
                    begun[sha256] = (blob, size_bytes)
    recovered = _recovered(connection, wanted.keys() - present, elsewhere)
    absent = sorted(set(wanted) - present - recovered)
    return _Missing(
        whole={sha256: wanted[sha256] for sha256 in absent if sha256 not in begun},
        begun={sha256: begun[sha256] for sha256 in absent if sha256 in begun},
        recovered=recovered,
    )


def _check_room(connection: Connection, needed_bytes: int, needed_inodes: int) -> None:
    answer = run(connection, FREE, doing="say how much room it has").stdout
    space, _, inodes = answer.decode(errors="replace").partition("\n")
    available_inodes = free_inodes(inodes)
    if available_inodes is not None and available_inodes < needed_inodes + RESERVE_INODES:
        raise DeviceError(
            f"{connection.address} has not enough inodes: its file system can hold too few more files",
            why=f"{available_inodes:,} are free, {needed_inodes + RESERVE_INODES:,} are needed",
            hint=NO_INODES,
        )
    available_bytes = free_bytes(space)
    if available_bytes is not None and available_bytes < needed_bytes + RESERVE_BYTES:
        raise DeviceError(
            f"{connection.address} has not enough room",
            why=f"{available_bytes:,} bytes are free, {needed_bytes + RESERVE_BYTES:,} are needed",
            hint="free space in the home folder's file system there",
        )


def _send(connection: Connection, missing: _Missing, progress: Progress, bytes_per_s: int | None) -> None:
    count = _counter(tar_of_blobs_bytes(missing.whole.values()) + missing.begun_rest_bytes, progress)
    for sha256, (blob, begun_bytes) in missing.begun.items():
        progress.note(f"resuming after {begun_bytes:,} bytes of an interrupted push")
        script = argv(APPEND, sha256, str(begun_bytes), str(blob.size_bytes))
        _send_stream(connection, script, count(blob.read_rest(begun_bytes)), bytes_per_s)
    if missing.whole:
        _send_stream(connection, argv(STORE), count(tar_of_blobs(missing.whole)), bytes_per_s)


def _send_stream(connection: Connection, script: list[str], stream: Iterator[bytes], bytes_per_s: int | None) -> None:
    packed = limited(gzip_when_it_pays(stream), bytes_per_s)
    completed = connection.run(script, stdin=packed, timeout_s=_VERIFY_TIMEOUT_S)
    if completed.exit_status == DAMAGED:
        raise IntegrityError(
            f"{connection.address} received other bytes than were sent; it has dropped them",
            why=last_lines(completed.stderr),
            hint="push again; if it happens again, the bundle was changed since it was compiled: compile it again",
        )
    if completed.exit_status:
        raise failed(connection, "store what it was sent", completed)


def _counter(total_bytes: int, progress: Progress) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """Return a wrapper that reports the progress of several streams, one after the other."""
    done = 0

    def counted(stream: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal done
        for chunk in stream:
            yield chunk
            done += len(chunk)
            progress.advance(done, total_bytes, "bytes")

    return counted
