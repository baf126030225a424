"""Whether a bundle can run on a device, before a byte is sent."""

from __future__ import annotations

import re

from msgspec import Struct

from edgedeploy.deploy.shell import PROBE, run
from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError, IntegrityError
from edgedeploy.safe_paths import check_name, check_relative_path, check_sha256
from edgedeploy.values.bundle import Manifest, Runtime

_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
# Linux names one architecture in several ways.
_MACHINES = {
    "aarch64": {"aarch64", "arm64"},
    "armv7l": {"armv7l", "armv8l"},
    "armv6l": {"armv6l", "armv7l"},
    "x86_64": {"x86_64", "amd64"},
}
_WITH_32_BIT_PROGRAMS = {"aarch64": {"armv7l", "armv6l"}, "x86_64": {"i686"}}
"""What a 64-bit kernel also runs: an operating system of 32 bits may live on it."""


class _Facts(Struct, frozen=True, kw_only=True):
    machine: str
    missing: tuple[str, ...]
    python: str
    """Empty when there is none."""
    bits: str
    glibc: str
    """Empty when the C library is another one."""


def check_manifest(manifest: Manifest) -> None:
    """Hold every name, path, version and hash of a manifest to the rules of `safe_paths`.

    Raises:
        IntegrityError: one breaks them.
    """
    check_name(manifest.name, "model name")
    check_name(manifest.version, "version")
    for what, version in (("Python", manifest.runtime.python), ("glibc", manifest.runtime.glibc)):
        if version is not None and not _VERSION.fullmatch(version):
            raise IntegrityError(f"{what} {version!r} is no version", why="expected is one such as 3.11")
    for entry in manifest.files:
        check_relative_path(entry.path)
        check_sha256(entry.sha256)


def check_device(manifest: Manifest, connection: Connection) -> None:
    """Compare what the bundle was built for with what the device says it is.

    Raises:
        DeviceError: a tool is missing there, or architecture, Python or C library do not fit.
    """
    facts = _probe(connection, manifest.runtime.python or "")
    if facts.missing:
        raise DeviceError(
            f"{connection.address} has no {', '.join(facts.missing)}",
            mend="install busybox, or coreutils and tar, there",
        )
    if not _runs(manifest.architecture, facts):
        programs = f" with {facts.bits}-bit programs" if facts.bits == "32" and "64" in facts.machine else ""
        raise DeviceError(
            f"the bundle is for {manifest.architecture}, and {connection.address} is {facts.machine}{programs}",
            mend="edgedeploy compile with a --target of that architecture",
        )
    _check_runtime(manifest.runtime, facts, connection.address)


def _probe(connection: Connection, python: str) -> _Facts:
    answer = run(connection, PROBE, python, doing="say what it is").stdout.decode(errors="replace")
    lines = [line.partition(" ") for line in answer.splitlines()]
    found = {key: value.strip() for key, _, value in lines}
    version, bits, libc, glibc = (*found.get("python", "").split(" "), "", "", "", "")[:4]
    return _Facts(
        machine=found.get("machine", ""),
        missing=tuple(value for key, _, value in lines if key == "missing"),
        python=version,
        bits=bits,
        glibc=glibc if libc == "glibc" and _VERSION.match(glibc) else "",
    )


def _runs(architecture: str, facts: _Facts) -> bool:
    """Bits are known only where there is a Python; without one the kernel's word has to do."""
    if facts.bits == "32" and facts.machine in _WITH_32_BIT_PROGRAMS:
        return architecture in _WITH_32_BIT_PROGRAMS[facts.machine]
    return facts.machine in _MACHINES.get(architecture, {architecture})


def _check_runtime(wanted: Runtime, facts: _Facts, address: str) -> None:
    if wanted.python is not None and facts.python != wanted.python:
        has = f"Python {facts.python}" if facts.python else "no python3"
        raise DeviceError(
            f"the bundle's runtime needs Python {wanted.python}, and {address} has {has}",
            mend="edgedeploy compile with a --target of that Python, or install it on the device",
        )
    # Only Python tells the C library; a runtime that needs no Python brings its own.
    if wanted.python is not None and wanted.glibc is not None and _numbers(facts.glibc) < _numbers(wanted.glibc):
        has = f"glibc {facts.glibc}" if facts.glibc else "another C library"
        raise DeviceError(
            f"the bundle's runtime needs glibc {wanted.glibc}, and {address} has {has}",
            mend="edgedeploy compile with a --target of that system",
        )


def _numbers(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
