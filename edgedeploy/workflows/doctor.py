"""Checks what this machine can do with edgedeploy, and says how to fix the rest. Changes nothing.

The network is asked where the packages of boards come from, and only on demand.

What a backend needs on this machine it declares itself: see `edgedeploy.targets.backends`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.extras import extra_line, pip_line
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.home import home_folder
from edgedeploy.foundation.programs import missing_programs
from edgedeploy.foundation.reading import KNOWN_HOSTS, SYSTEM_TEXT, read_text
from edgedeploy.targets.backends import backends
from edgedeploy.values.backend import BackendFacts
from edgedeploy.workflows import doctor_boards
from edgedeploy.workflows.finding import Finding

_VERSION_TIMEOUT_S = 20.0
_VERSION_FLAGS = {
    **dict.fromkeys(("ssh", "mke2fs", "debugfs", "e2fsck"), "-V"),
    **dict.fromkeys(("ssh-keygen", "resize2fs"), None),  # they say it only beside other work
}
_BOARD_DISK_BYTES = 2_000_000_000
"""An image with its packages (0.6 GB), and the disk of a board as releases fill it."""
_BUNDLE_DISK_BYTES = 300_000_000
"""A runtime's wheels, laid out twice: in the cache and in a bundle."""
_BOARD_MEMORY_BYTES = 1_300_000_000
"""What QEMU takes for a board of 1 GB."""
_FOR_OPTIMIZE = {"tflite": ("ai-edge-quantizer",)}
"""What `optimize` needs of an extra, beside what backends need of it."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All that was found."""

    edgedeploy: str
    """Its version."""
    machine: str
    findings: tuple[Finding, ...]

    def missing(self, jobs: tuple[str, ...]) -> tuple[Finding, ...]:
        """List what is missing on this machine for those jobs."""
        return tuple(finding for finding in self.findings if finding.job in jobs and finding.state == "missing")


class _Job(Struct, frozen=True):
    """One thing that edgedeploy does."""

    name: str
    purpose: str
    check: Callable[[str], list[Finding]]


def jobs() -> dict[str, str]:
    """List what edgedeploy does, and what each part is for: the names that `edgedeploy doctor` takes."""
    return {job.name: job.purpose for job in _jobs()}


def examine(*, ask_network: bool = False) -> Diagnosis:
    """Run every check.

    Args:
        ask_network: fetch the lists of packages that boards are made from, to know whether they can be had. It takes
            some seconds, and some twenty where nothing answers.
    """
    from edgedeploy.inference.onnxruntime import host_isa

    return Diagnosis(
        edgedeploy=importlib.metadata.version("edgedeploy"),
        machine=f"{host_isa()}, {os.cpu_count()} cores, {_memory_bytes() / 1e9:.1f} GB of memory available",
        findings=tuple(finding for job in _jobs(ask_network) for finding in job.check(job.name)),
    )


def _jobs(ask_network: bool = False) -> list[_Job]:
    found = [_Job("models", "inspect, optimize, compile for 64-bit boards", _models)]
    for users in _users_of_extras():
        found.append(_Job(users[0].extra, "; ".join(facts.purpose for facts in users), _extra))
        if any(facts.converts for facts in users):
            purpose = "ONNX models for 32-bit boards, through TensorFlow Lite"
            found.append(_Job("conversion", purpose, _conversion))
    found.append(_Job("boards", "emulated boards", functools.partial(_boards, ask_network=ask_network)))
    found.append(_Job("devices", "devices behind SSH", _devices))
    return found


def _users_of_extras() -> list[list[BackendFacts]]:
    """List the backends that need each extra, by rank; of one extra, the one that needs most of it first."""
    users: dict[str, list[BackendFacts]] = {}
    for facts in backends():
        if facts.extra:
            users.setdefault(facts.extra, []).append(facts)
    groups = [sorted(group, key=lambda facts: -len(facts.host_packages)) for group in users.values()]
    return sorted(groups, key=lambda group: group[0].rank)


def _models(job: str) -> list[Finding]:
    found = [_package(job, name, pip_line("--force-reinstall", name)) for name in ("onnx", "onnxruntime")]
    return [*found, _room(job, cache_folder(), "the cache", _BUNDLE_DISK_BYTES, "XDG_CACHE_HOME"), _scratch(job)]


def _extra(job: str) -> list[Finding]:
    users = next(group for group in _users_of_extras() if group[0].extra == job)
    needed = dict.fromkeys(name for facts in users for name in facts.host_packages)
    needed |= dict.fromkeys(_FOR_OPTIMIZE.get(job, ()))
    return [_package(job, name, extra_line(job)) for name in needed]


def _conversion(job: str) -> list[Finding]:
    from edgedeploy.compile.onnx_to_tflite.environment import PYTHONS, interpreter

    what = f"Python {' or '.join(PYTHONS)}"
    python = interpreter()
    if python is not None:
        return [Finding(job=job, what=what, state="ready", detail=python)]
    detail = "none found; uv fetches one when a model is first converted, if it can reach its index"
    return [Finding(job=job, what=what, state="limited", detail=detail, hint=f"install {what}")]


def _boards(job: str, *, ask_network: bool) -> list[Finding]:
    if platform.system() != "Linux":
        what = "Linux, which builds boards from Debian's packages and keeps them by its locks"
        detail = f"this is {platform.system()}; models are optimized, compiled and pushed to boards behind SSH here too"
        hint = "use boards on a Linux machine, a virtual one or WSL 2: edgedeploy board up rpi4"
        return [Finding(job=job, what=what, state="missing", detail=detail, hint=hint)]
    found = [
        _program(job, name)
        for name in (
            *("qemu-system-aarch64", "qemu-system-arm"),
            *("mke2fs", "debugfs", "e2fsck", "resize2fs", "apt-get", "dpkg-deb", "tar"),
        )
    ]
    found += doctor_boards.cores(job)
    found += doctor_boards.packages(job, ask_network=ask_network)
    found.append(doctor_boards.acceleration(job))
    found.append(_room(job, cache_folder(), "the cache", _BOARD_DISK_BYTES, "XDG_CACHE_HOME"))
    memory_bytes = _memory_bytes()
    enough = memory_bytes >= _BOARD_MEMORY_BYTES
    found.append(
        Finding(
            job=job,
            what="memory",
            state="ready" if enough else "limited",
            detail=f"{memory_bytes / 1e9:.1f} GB available",
            hint="" if enough else f"a board takes {_BOARD_MEMORY_BYTES / 1e9:.1f} GB: end other programs",
        )
    )
    return found


def _devices(job: str) -> list[Finding]:
    return [_program(job, "ssh"), _program(job, "ssh-keygen"), _keys(job), _known_hosts(job)]


def _package(job: str, name: str, hint: str) -> Finding:
    try:
        return Finding(job=job, what=name, state="ready", detail=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(job=job, what=name, state="missing", detail="not installed", hint=hint)


def _program(job: str, name: str) -> Finding:
    lacking = missing_programs(name)
    if lacking is not None:
        return Finding(job=job, what=name, state="missing", detail="not installed", hint=lacking)
    return Finding(job=job, what=name, state="ready", detail=_version_line(name))


def _version_line(program: str) -> str:
    """Read the first line that the program prints about its version; "installed" when it prints none."""
    flag = _VERSION_FLAGS.get(program, "--version")
    if flag is None:
        return "installed"
    from edgedeploy.foundation.programs import end_with_parent, find

    try:
        done = subprocess.run(
            [find(program), flag],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
            preexec_fn=end_with_parent,
        )
    except (OSError, subprocess.TimeoutExpired, HostError) as error:
        return f"installed; it does not say its version ({type(error).__name__})"
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return lines[0][:80] if lines else "installed"


def _room(job: str, folder: Path, name: str, needed_bytes: int, variable: str) -> Finding:
    existing = next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))
    what, hint = f"disk for {name}", f"free some space, or set {variable} to a folder elsewhere"
    if not os.access(existing, os.W_OK):
        return Finding(job=job, what=what, state="missing", detail=f"{existing} cannot be written to", hint=hint)
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{free_bytes / 1e9:.1f} GB free in {folder}"
    if free_bytes >= needed_bytes:
        return Finding(job=job, what=what, state="ready", detail=detail)
    detail += f"; {needed_bytes / 1e9:.1f} GB are needed"
    return Finding(job=job, what=what, state="missing", detail=detail, hint=hint)


def _scratch(job: str) -> Finding:
    return _room(job, Path(tempfile.gettempdir()), "temporary files", _BUNDLE_DISK_BYTES, "TMPDIR")


def _keys(job: str) -> Finding:
    folder = home_folder() / ".ssh"
    names = ("id_ed25519", "id_ecdsa", "id_rsa")
    files = [name for name in names if (folder / name).is_file()]
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    parts = [f"an agent at {agent}"] if agent and _is_socket(Path(agent)) else []
    parts += [f"{folder / name}" for name in files]
    if parts:
        return Finding(job=job, what="a key to log in with", state="ready", detail=", ".join(parts))
    return Finding(
        job=job,
        what="a key to log in with",
        state="limited",
        detail=f"neither an agent nor a key in {folder}; ~/.ssh/config may name others",
        hint="ssh-keygen -t ed25519, then ssh-copy-id USER@DEVICE",
    )


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _known_hosts(job: str) -> Finding:
    path = home_folder() / ".ssh" / "known_hosts"
    try:
        text = read_text(path, KNOWN_HOSTS, errors="replace")
        lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    except FileNotFoundError:
        lines = []
    except OSError as error:
        detail = f"{path}: {error.strerror}"
        return Finding(
            job=job, what="known_hosts", state="missing", detail=detail, hint=f"chmod 600 {shlex.quote(str(path))}"
        )
    detail = f"{len(lines)} lines in {path}"
    if not lines:
        detail += "; hosts that it does not know are refused without --accept-new"
    return Finding(job=job, what="known_hosts", state="ready", detail=detail)


def _memory_bytes() -> int:
    """Read how many bytes programs can have without swapping (proc(5), MemAvailable); where no such file is, all."""
    try:
        for line in read_text(Path("/proc/meminfo"), SYSTEM_TEXT).splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
