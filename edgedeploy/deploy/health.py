"""Check a release's health on its device: its own `run check` loads the model and answers the golden inputs."""

from __future__ import annotations

import contextlib
import json

from msgspec import Struct

from edgedeploy.deploy.scripts.verifying import HEALTH
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.advice import MAKE_SMALLER, SWAP_OR_MAKE_SMALLER
from edgedeploy.foundation.errors import DeviceError, EdgedeployError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.values.bundle import Manifest
from edgedeploy.values.plausible import possible

TIMEOUT_S = 600.0
"""For one load of the model and its golden inputs, under emulation on a loaded machine too."""

_DERIVE_TIMEOUT_S = 120.0

# How a shell says that a signal ended a command.
_ILLEGAL_INSTRUCTION = 128 + 4
_KILLED = 128 + 9
_STILL = "what was current there still is"


class CheckReport(Struct, frozen=True, kw_only=True):
    """The last line that a release's own check wrote to standard output, parsed. None: it does not say, or not as the
    runners that bundles are made with do."""

    line: str
    """As it came: JSON, of these runners."""
    healthy: bool | None = None
    golden_samples: int | None = None
    cosine: float | None = None
    """The least similarity of an output to the golden one."""
    problem: str | None = None
    peak_rss_bytes: int | None = None
    """The check's largest resident set, the runtime included."""

    @property
    def words(self) -> str:
        """The same for people: `"healthy, 8 golden samples, cosine 1.00000, peak memory 61 MB"`."""
        if self.healthy is None or self.golden_samples is None:
            return self.line
        parts = ["healthy" if self.healthy else f"not healthy: {self.problem}", f"{self.golden_samples} golden samples"]
        if self.cosine is not None:
            parts.append(f"cosine {self.cosine:.5f}")
        if self.peak_rss_bytes is not None:
            parts.append(f"peak memory {bytes_in_words(self.peak_rss_bytes)}")
        return ", ".join(parts)


class Health(Struct, frozen=True, kw_only=True):
    """How a release's own check ended, and what it wrote."""

    exit_status: int
    report: CheckReport
    output: str = ""
    """The last lines of its standard output before the report's line."""
    errors: str = ""
    """The last lines of its standard error."""

    @property
    def healthy(self) -> bool:
        return self.exit_status == 0

    @property
    def words(self) -> str:
        """What is worth showing of it: the report, else an error, else the exit status."""
        return self.report.words or self.errors or f"exit {self.exit_status}"


def parse_report(output: str) -> CheckReport:
    """Read the last line of a check's standard output. Never fails: a field of another type counts as missing."""
    line = output.strip().splitlines()[-1] if output.strip() else ""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return CheckReport(line=line)
    problem, cosine, peak_bytes = fields.get("problem"), fields.get("cosine"), _count(fields.get("peak_rss_bytes"))
    return CheckReport(
        line=line,
        healthy=fields["healthy"] if isinstance(fields.get("healthy"), bool) else None,
        golden_samples=_count(fields.get("golden_samples")),
        cosine=cosine if isinstance(cosine, float) and -1 <= cosine <= 1 else None,
        problem=problem if isinstance(problem, str) else None,
        peak_rss_bytes=possible("peak_rss_bytes", peak_bytes),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def run_check(connection: Connection, name: str, folder: str, *, timeout_s: float = TIMEOUT_S) -> Health:
    """Load a release on its device and run its golden inputs.

    Args:
        name: of the model.
        folder: of the release, in that of the model: its ID, unless it is not in its place yet.

    Raises:
        DeviceError: it does not end within `timeout_s`.
        UnreachableError: the connection was lost.
    """
    done = connection.run(["sh", "-c", HEALTH, "edgedeploy", name, folder], timeout_s=timeout_s)
    output = done.stdout.decode(errors="replace")
    *before, _ = ("", *output.strip().splitlines())
    return Health(
        exit_status=done.exit_status,
        report=parse_report(output),
        output=last_lines("\n".join(before)),
        errors=last_lines(done.stderr),
    )


def derive_bytecode(connection: Connection, manifest: Manifest, identity: str) -> None:
    """Let Python compile a release's verified sources anew, where it runs in Python: the next start of the application
    is quick then. A device that cannot do that, or not in two minutes, starts it without bytecode."""
    if manifest.runtime.python is not None:
        with contextlib.suppress(EdgedeployError):
            run_check(connection, manifest.name, identity, timeout_s=_DERIVE_TIMEOUT_S)


def require_health(
    connection: Connection,
    name: str,
    identity: str,
    *,
    folder: str | None = None,
    max_memory_bytes: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Health:
    """Call `run_check` for a release that has to be healthy.

    Args:
        folder: as `run_check` takes it; without one, the release is in its place.
        max_memory_bytes: the largest resident set that its check may have.

    Raises:
        DeviceError: it does not load or answers something else, it takes more memory than it may, or that is not
            determined.
        UnreachableError: the connection was lost.
    """
    health = run_check(connection, name, folder or identity, timeout_s=timeout_s)
    if not health.healthy:
        raise _unhealthy(health, identity, connection.address)
    peak_bytes = health.report.peak_rss_bytes
    if max_memory_bytes is not None and (peak_bytes is None or peak_bytes > max_memory_bytes):
        took = "an unknown amount" if peak_bytes is None else f"{peak_bytes:,} bytes"
        raise DeviceError(
            f"{identity} took {took} of memory on {connection.address} while its health was checked, and may take "
            f"{max_memory_bytes:,}; {_STILL}",
            hint=MAKE_SMALLER,
        )
    return health


def _unhealthy(health: Health, identity: str, address: str) -> DeviceError:
    if health.exit_status == _ILLEGAL_INSTRUCTION:
        return DeviceError(
            f"{identity} uses an instruction that the cores of {address} do not have; {_STILL}",
            why="its runtime was built for newer cores, as some of onnxruntime's wheels were for a Raspberry Pi 4 "
            "(https://github.com/microsoft/onnxruntime/issues/23957)",
            hint=f"compile it for the target that this names: edgedeploy probe {address}",
        )
    if health.exit_status == _KILLED:
        return DeviceError(
            f"{identity} was killed on {address} while its health was checked; {_STILL}",
            why="its kernel does that where memory has run out (dmesg there says so)",
            hint=SWAP_OR_MAKE_SMALLER,
        )
    return DeviceError(
        f"{identity} is not healthy on {address}; {_STILL}",
        why=" | ".join(part for part in (health.output, health.report.line, health.errors) if part)
        or f"exit {health.exit_status}",
        hint="compile it for this device, or look at what its runner says: "
        "it was started as `run check` in the release's folder",
    )
