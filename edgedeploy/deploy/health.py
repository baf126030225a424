"""Whether a release works on its device: its own `run check` loads the model there and answers the golden inputs."""

from __future__ import annotations

import json

from msgspec import Struct

from edgedeploy.deploy.scripts.shell import HEALTH
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.units import bytes_in_words

_TIMEOUT_S = 600.0
"""For one load of the model and its golden inputs, under emulation on a loaded machine too."""

# How a shell says that a signal ended a command.
_ILLEGAL_INSTRUCTION = 128 + 4
_KILLED = 128 + 9


class Health(Struct, frozen=True, kw_only=True):
    """What a release's own check said, and how it ended."""

    exit_status: int
    said: str
    """Its last line, as it came: JSON, of the runners that bundles are made with."""
    words: str
    """The same for people: `"healthy, 8 golden samples, cosine 1.00000, peak memory 61 MB"`."""
    errors: str
    """The end of what it wrote to standard error."""
    peak_rss_bytes: int | None = None
    """Its largest resident set, the runtime included; None where the device does not tell."""

    @property
    def healthy(self) -> bool:
        return self.exit_status == 0


def check_health(connection: Connection, name: str, identity: str) -> Health:
    """Load a release there and run its golden inputs.

    Raises:
        DeviceError: it does not end.
        UnreachableError: the connection was lost.
    """
    done = connection.run(["sh", "-c", HEALTH, "edgedeploy", name, identity], timeout_s=_TIMEOUT_S)
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    said = lines[-1] if lines else ""
    return Health(
        exit_status=done.exit_status,
        said=said,
        words=health_in_words(said),
        errors=done.stderr.decode(errors="replace").strip(),
        peak_rss_bytes=_peak_rss_bytes(said),
    )


def require_health(connection: Connection, name: str, identity: str, *, max_memory_bytes: int | None = None) -> Health:
    """As `check_health`, of a release that has to be healthy.

    Args:
        max_memory_bytes: the largest resident set that its check may have.

    Raises:
        DeviceError: it does not load or answers something else, it takes more memory than it may, or that cannot be
            told.
        UnreachableError: the connection was lost.
    """
    found = check_health(connection, name, identity)
    still = "what was current there still is"
    if found.exit_status == _ILLEGAL_INSTRUCTION:
        raise DeviceError(
            f"{identity} uses an instruction that the cores of {connection.address} do not have; {still}",
            why="its runtime was built for newer cores, as some of onnxruntime's wheels were for a Raspberry Pi 4 "
            "(https://github.com/microsoft/onnxruntime/issues/23957)",
            hint="compile with another --backend, or for the target that `edgedeploy probe` names",
        )
    if found.exit_status == _KILLED:
        raise DeviceError(
            f"{identity} was killed on {connection.address} while its health was checked; {still}",
            why="its kernel does that where memory has run out (dmesg there says so)",
            hint="end other programs there, add swap, or make the model smaller: edgedeploy optimize",
        )
    if not found.healthy:
        raise DeviceError(
            f"{identity} is not healthy on {connection.address}; {still}",
            why=" | ".join(part for part in (found.said, *found.errors.splitlines()[-4:]) if part)
            or f"exit {found.exit_status}",
            hint="compile it for this device, or look at what its runner says: "
            "it was started as `run check` in the release's folder",
        )
    if max_memory_bytes is not None and (found.peak_rss_bytes is None or found.peak_rss_bytes > max_memory_bytes):
        took = "an unknown amount" if found.peak_rss_bytes is None else f"{found.peak_rss_bytes:,} bytes"
        raise DeviceError(
            f"{identity} took {took} of memory on {connection.address} while its health was checked, and may take "
            f"{max_memory_bytes:,}; {still}",
            hint="make the model smaller: edgedeploy optimize; or compile with a --backend that takes less",
        )
    return found


def health_in_words(said: str) -> str:
    """The last line of a release's own check, made readable: `"healthy, 8 golden samples, cosine 1.00000"`."""
    line = said.strip().splitlines()[-1] if said.strip() else ""
    try:
        found = json.loads(line)
        parts = ["healthy" if found["healthy"] else f"not healthy: {found.get('problem')}"]
        parts += [f"{found['golden_samples']} golden samples"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return line
    if isinstance(found.get("cosine"), float):
        parts.append(f"cosine {found['cosine']:.5f}")
    peak_bytes = _peak_rss_bytes(line)
    if peak_bytes is not None:
        parts.append(f"peak memory {bytes_in_words(peak_bytes)}")
    return ", ".join(parts)


def _peak_rss_bytes(said: str) -> int | None:
    try:
        found = json.loads(said)["peak_rss_bytes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None
