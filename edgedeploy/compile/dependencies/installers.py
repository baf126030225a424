"""Installs the wheels of a lock file for another machine: with uv, or with pip where uv knows no name for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec import Struct

from edgedeploy.compile.dependencies.tool_errors import InstallFailure, install_failure
from edgedeploy.foundation.errors import HostError, IntegrityError, UnsupportedError
from edgedeploy.foundation.programs import completed
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.targets.versions import version_numbers

# The C library versions that uv has a platform for; an older one of these runs on every newer system.
_GLIBC_VERSIONS = ("2.17", "2.28", *(f"2.{minor}" for minor in range(31, 41)))

_UNKNOWN_TO_UV = ("armv7l",)
"""Architectures that `uv pip install --python-platform` has no name for; pip has."""

_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Platform(Struct, frozen=True, kw_only=True):
    """What wheels are chosen for."""

    architecture: str
    """As `uname -m` has it, e.g. `"aarch64"`."""
    glibc: str
    """One of the versions that there are wheels for, e.g. `"2.28"`."""

    def __str__(self) -> str:
        return f"{self.architecture}-manylinux_{self.glibc.replace('.', '_')}"


def platform_for(architecture: str, glibc: str) -> Platform:
    """Choose the newest platform that runs on a system with this C library.

    Raises:
        UnsupportedError: the system is older than every wheel.
    """
    fitting = _not_newer(glibc)
    if not fitting:
        raise UnsupportedError(f"there are no wheels for glibc {glibc}", why=f"the oldest is {_GLIBC_VERSIONS[0]}")
    return Platform(architecture=architecture, glibc=max(fitting, key=version_numbers))


def install(lock: Path, folder: Path, platform: Platform, python: str) -> None:
    """Unpack the wheels of a lock file into `folder`, as data: nothing of them runs.

    Args:
        lock: a requirements file with exact versions and hashes.
        python: minor version of the device's CPython, e.g. `"3.11"`.

    Raises:
        HostError: no network and nothing in the installer's cache, or it fails otherwise.
        UnsupportedError: there are no wheels for this platform and Python.
        IntegrityError: what the index gives is not what was locked.
    """
    command = _with_pip if platform.architecture in _UNKNOWN_TO_UV else _with_uv
    _run(command(lock.resolve(), folder, platform, python), "the runtime's wheels", f"{platform}, Python {python}")


def install_here(lock: Path, folder: Path, what: str) -> None:
    """Install the packages of a lock file into `folder`, for the Python that runs this.

    Args:
        lock: as for `install`. A package that has no wheel is built from its source, which the lock pins as well.
        what: they are, for messages: a plural.

    Raises:
        HostError, UnsupportedError, IntegrityError: as `install`.
    """
    _run(_for_this_python(lock.resolve(), folder), what, "this machine's Python")


def _run(argv: list[str], what: str, where: str) -> None:
    try:
        # Elsewhere than in the user's folder, whose pyproject.toml could change what is resolved.
        with scratch_folder() as elsewhere:
            done = completed(argv, cwd=elsewhere, env=uv_environment())
    except OSError as error:
        raise HostError("uv cannot be started", why=str(error), hint="install it again: pip install uv") from error
    if done.returncode:
        _raise(done.stderr, what, where)


def uv_environment() -> dict[str, str]:
    """Return the environment for uv. It trusts a list of its own; behind a company's proxy only the system's store
    knows the proxy."""
    system = {"UV_SYSTEM_CERTS": "true"} if _SYSTEM_CERTIFICATES.is_file() else {}
    return {**system, **os.environ}


def _raise(stderr: str, what: str, where: str) -> None:
    failure, words = install_failure(stderr)
    if failure is InstallFailure.NETWORK:
        raise HostError(
            f"{what} cannot be fetched",
            why=words,
            hint="connect to the network once, or point uv at an index of yours with UV_DEFAULT_INDEX "
            "(pip, which fetches for 32-bit Arm: PIP_INDEX_URL); they are kept afterwards",
        )
    if failure is InstallFailure.NO_WHEEL:
        raise UnsupportedError(f"there are no wheels for {where}", why=words)
    if failure is InstallFailure.HASH:
        raise IntegrityError(f"{what} are not the ones that were locked", why=words)
    raise HostError(f"{what} cannot be laid out", why=words)


def _not_newer(glibc: str) -> list[str]:
    return [version for version in _GLIBC_VERSIONS if version_numbers(version) <= version_numbers(glibc)]


def _with_uv(lock: Path, folder: Path, platform: Platform, python: str) -> list[str]:
    return [
        *(*_for_this_python(lock, folder), "--only-binary", ":all:"),
        *("--python-platform", str(platform), "--python-version", python),
    ]


def _for_this_python(lock: Path, folder: Path) -> list[str]:
    import uv

    return [
        *(uv.find_uv_bin(), "pip", "install", "--target", str(folder), "--requirements", str(lock)),
        *("--python", sys.executable, "--no-deps", "--require-hashes"),
        *("--link-mode", "copy", "--no-compile-bytecode", "--no-progress", "--color", "never"),
    ]


def _with_pip(lock: Path, folder: Path, platform: Platform, python: str) -> list[str]:
    # pip takes a platform for that very one, not for all that run there.
    names = [
        f"manylinux_{version.replace('.', '_')}_{platform.architecture}"
        for version in reversed(_not_newer(platform.glibc))
    ]
    return [
        *(sys.executable, "-m", "pip", "install", "--target", str(folder), "--requirement", str(lock)),
        *(word for name in names for word in ("--platform", name)),
        *("--implementation", "cp", "--python-version", python),
        *("--only-binary", ":all:", "--no-deps", "--require-hashes", "--no-compile", "--no-input"),
        *("--quiet", "--disable-pip-version-check", "--no-warn-conflicts"),
    ]
