"""Whether a bundle can run on a device, before a byte is sent."""

from __future__ import annotations

import re

from edgedeploy.deploy.shell import PROBE, run
from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError, IntegrityError
from edgedeploy.safe_paths import check_name, check_relative_path, check_sha256
from edgedeploy.values.bundle import Manifest

_PYTHON = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
# Linux names one architecture in several ways.
_MACHINES = {
    "aarch64": {"aarch64", "arm64"},
    "armv7l": {"armv7l", "armv8l"},
    "armv6l": {"armv6l", "armv7l"},
    "x86_64": {"x86_64", "amd64"},
}


def check_manifest(manifest: Manifest) -> None:
    """Hold every name, path and hash of a manifest to the rules of `safe_paths`.

    Raises:
        IntegrityError: one breaks them.
    """
    check_name(manifest.name, "model name")
    check_name(manifest.version, "version")
    if manifest.runtime.python is not None and not _PYTHON.fullmatch(manifest.runtime.python):
        raise IntegrityError(f"Python {manifest.runtime.python!r} is no version", why="expected is one such as 3.11")
    for entry in manifest.files:
        check_relative_path(entry.path)
        check_sha256(entry.sha256)


def check_device(manifest: Manifest, connection: Connection) -> None:
    """Compare what the bundle was built for with what the device says it is.

    Raises:
        DeviceError: a tool is missing there, or architecture or Python are other ones.
    """
    answer = run(connection, PROBE, manifest.runtime.python or "", doing="say what it is").stdout.decode(
        errors="replace"
    )
    facts = [line.partition(" ") for line in answer.splitlines()]
    missing = [value for key, _, value in facts if key == "missing"]
    found = {key: value.strip() for key, _, value in facts}
    if missing:
        raise DeviceError(
            f"{connection.address} has no {', '.join(missing)}", mend="install busybox, or coreutils and tar, there"
        )
    if found.get("machine") not in _MACHINES.get(manifest.architecture, {manifest.architecture}):
        raise DeviceError(
            f"the bundle is for {manifest.architecture}, and {connection.address} is {found.get('machine')}",
            mend="edgedeploy compile with a --target of that architecture",
        )
    wanted = manifest.runtime.python
    if wanted is not None and found.get("python") != wanted:
        has = f"Python {found['python']}" if found.get("python") else "no python3"
        raise DeviceError(
            f"the bundle's runtime needs Python {wanted}, and {connection.address} has {has}",
            mend="edgedeploy compile with a --target of that Python, or install it on the device",
        )
