"""Send contents to a device: each once, only what is missing, verified before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from edgedeploy.deploy.scripts.receiving import APPEND, DAMAGED, FREE_KIB, PRESENT, STORE
from edgedeploy.deploy.scripts.shell import argv, failed, run
from edgedeploy.deploy.transfer.bandwidth import limited
from edgedeploy.deploy.transfer.blobs import Blob
from edgedeploy.deploy.transfer.compression import gzip_when_it_pays
from edgedeploy.deploy.transfer.streams import tar_of_blobs, tar_of_blobs_bytes
from edgedeploy.device.connection import Connection
from edgedeploy.device.free_space import free_bytes
from edgedeploy.foundation.errors import DeviceError, IntegrityError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.foundation.progress import Progress

RESERVE_BYTES = 8 << 20
"""Left free on the device: folders, links and the model's own needs."""
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


class _Missing(Struct, frozen=True):
    """The contents that a device lacks, by SHA-256."""

    whole: Mapping[str, Blob]
    """Of which it has nothing."""
    begun: Mapping[str, tuple[Blob, int]]
    """Of which it has so many of the first bytes."""

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
    room_for_copies_bytes: int = 0,
    bandwidth_bytes_per_s: int | None = None,
) -> Sent:
    """Bring contents onto the device. Those that are there already are read and verified; of one that an interrupted
    push has sent in part, the rest is sent.

    Args:
        wanted: by SHA-256.
        name: of the model that they are for.
        room_for_copies_bytes: needed beside the contents, where the release will not be hard links to them.
        bandwidth_bytes_per_s: send no more than that, in bytes as they go over the network.

    Raises:
        DeviceError: there is not enough room, or the device's file system fails.
        IntegrityError: a file of the bundle is not what its manifest says, or was damaged on the way.
    """
    progress.step(f"comparing {len(wanted)} files with those on {connection.address}")
    missing = _missing(connection, wanted, name)
    if missing.files:
        _check_room(connection, missing.size_bytes + room_for_copies_bytes)
        progress.step(f"sending to {connection.address}")
        _send(connection, missing, progress, bandwidth_bytes_per_s)
    return Sent(
        sent_files=missing.files,
        sent_bytes=missing.size_bytes,
        kept_files=len(wanted) - missing.files,
        resumed_bytes=missing.resumed_bytes,
    )


def _missing(connection: Connection, wanted: Mapping[str, Blob], name: str) -> _Missing:
    """Ask the device which contents it has whole, and of which it has a beginning that is worth going on from."""
    names = "".join(f"{sha256}\n" for sha256 in sorted(wanted)).encode()
    answer = run(connection, PRESENT, name, stdin=names, timeout_s=_VERIFY_TIMEOUT_S, doing="list its files")
    present: set[str] = set()
    begun: dict[str, tuple[Blob, int]] = {}
    for line in answer.stdout.decode("ascii", "replace").splitlines():
        match line.split():
            case ["whole", sha256]:
                present.add(sha256)
            case ["begun", sha256, size, prefix] if sha256 in wanted and size.isascii() and size.isdigit():
                blob, size_bytes = wanted[sha256], int(size[:20])
                if _WORTH_RESUMING_BYTES <= size_bytes < blob.size_bytes and blob.prefix_sha256(size_bytes) == prefix:
                    begun[sha256] = (blob, size_bytes)
    absent = sorted(set(wanted) - present)
    return _Missing(
        whole={sha256: wanted[sha256] for sha256 in absent if sha256 not in begun},
        begun={sha256: begun[sha256] for sha256 in absent if sha256 in begun},
    )


def _check_room(connection: Connection, needed_bytes: int) -> None:
    answer = run(connection, FREE_KIB, doing="say how much room it has").stdout
    available_bytes = free_bytes(answer.decode(errors="replace"))
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
