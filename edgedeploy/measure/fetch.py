"""Fetch the model of a release from the device it lies on."""

from __future__ import annotations

import hashlib

from edgedeploy.device.connection import Connection, Process
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import DeviceError, IntegrityError
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import MODEL
from edgedeploy.foundation.sanitize import printable
from edgedeploy.measure.protocol import SILENCE_LIMIT_S
from edgedeploy.values.bundle import FileEntry, Release

_CHUNK_BYTES = 1 << 20
_SLOWEST_BYTES_PER_S = 4 << 10
"""Half of what a mobile network of 64 kbit/s carries."""


def fetch_model(
    connection: Connection, release: Release, progress: Progress, *, silence_limit_s: float = SILENCE_LIMIT_S
) -> bytes:
    """Read the release's model file from its device, verified against the release's manifest.

    Args:
        silence_limit_s: for the whole transfer, and a second more for each 4 KiB; then the device is taken for hung.

    Raises:
        IntegrityError: it is not the file that the manifest names.
        DeviceError: it cannot be read there, or the device hangs.
        UnreachableError: the connection was lost.
    """
    manifest = release.manifest
    progress.step(f"fetching the model from {connection.address}")
    entry = next((entry for entry in manifest.files if entry.path == manifest.model_file), None)
    if entry is None:
        raise IntegrityError(f"the manifest of {release.id} does not list its model", hint="push the bundle again")
    if entry.size_bytes > MODEL.size_bytes:
        # The manifest is the device's word: nothing else bounds what is read into memory.
        raise IntegrityError(
            f"the manifest of {release.id} on {connection.address} lists a model of {entry.size_bytes:,} bytes",
            why=MODEL.reason,
            hint="push the bundle again",
        )
    content = _read(connection, release, entry, progress, silence_limit_s)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise IntegrityError(
            f"the model of {release.id} on {connection.address} is not the one that was pushed",
            why="its SHA-256 is not the one in the manifest",
            hint="push the bundle again",
        )
    return content


def _read(
    connection: Connection, release: Release, entry: FileEntry, progress: Progress, silence_limit_s: float
) -> bytes:
    """Read a file of the release, at most one byte more than its manifest says.

    That byte shows that a file is too long; the limit bounds the memory, even if the device ignores it.
    """
    limit_bytes = entry.size_bytes + 1
    process = connection.start(["head", "-c", str(limit_bytes), f"{release.path}/{entry.path}"])
    limit_s = silence_limit_s + limit_bytes // _SLOWEST_BYTES_PER_S
    silence = SilenceLimit(process, limit_s)
    content = bytearray()
    try:
        with silence:
            while len(content) < limit_bytes:
                chunk = process.stdout.read(min(_CHUNK_BYTES, limit_bytes - len(content)))
                if not chunk:
                    break
                content += chunk
                progress.advance(len(content), entry.size_bytes, "bytes")
        if silence.exceeded:
            raise DeviceError(
                f"{connection.address} did not send the model of {release.id} in time",
                why=f"{len(content):,} of {entry.size_bytes:,} bytes came within {limit_s:g} s",
                hint="look at the device, then try again",
            )
        # A longer file is wrong in any case: how its sender ended does not matter.
        if len(content) < limit_bytes:
            _check_ended_well(process, connection, release)
    finally:
        silence.stop()
        process.kill()
    return bytes(content)


def _check_ended_well(process: Process, connection: Connection, release: Release) -> None:
    ended = process.wait(10.0)
    if ended.exit_status:
        raise DeviceError(
            f"the model of {release.id} cannot be read on {connection.address}",
            why=printable(ended.stderr.decode(errors="replace").strip(), limit=1000),
            hint="push the bundle again",
        )
