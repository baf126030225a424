"""Lay out wheels for a device's Python and C library, on a machine that has others.

uv resolves and unpacks them from a lock file with hashes, as data: nothing of them runs here. What inference never
needs is left out, and so is what would make the same wheels give other bytes. A layout is kept in the cache folder,
whole or not at all, with the hash of each file; the copy that a bundle gets is checked against these.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from edgedeploy.compile.dependencies.installers import Platform, install, platform_for
from edgedeploy.foundation.errors import IntegrityError
from edgedeploy.foundation.files import cache_folder, replacing_folder, sha256_file, unwritable, write_bytes
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import LICENCE_TEXT, MANIFEST, PINNED, open_file, read_file, read_text
from edgedeploy.targets.versions import version_numbers

_ALWAYS_LEFT_OUT = (
    # What says how and when it was installed, not what it is.
    "*.dist-info/INSTALLER", "*.dist-info/RECORD", "*.dist-info/REQUESTED", "*.dist-info/direct_url.json",
    "*.dist-info/uv_cache.json", "*.dist-info/uv_build.json", ".lock", "bin/*", "*/__pycache__/*", "*.pyc",
    # What compilers, type checkers and test runners read.
    "*.pyi", "*.pyx", "*.pxd", "*.h", "*.a", "*.c", "*/py.typed", "*/tests/*", "*/conftest.py",
)  # fmt: skip
_LICENCES = re.compile(r"licen[cs]e|notice|copying|authors|privacy", re.IGNORECASE)

_LAYOUT_VERSION = 1
"""Part of the cache's key: raise it when this module lays out other files from the same wheels."""


class File(Struct, frozen=True):
    path: str
    sha256: str


class More(Struct, frozen=True, kw_only=True):
    """Packages that have no wheel, laid out beside those that have one."""

    key: str
    """Part of the cache's key: what these packages are, with versions and hashes."""
    lay_out: Callable[[Path, Progress], None]
    """Adds it to the folder, with a `*.dist-info` of its own."""


class Layout(Struct, frozen=True, kw_only=True):
    """What was laid out."""

    packages: dict[str, str]
    """Version of each package, by name."""
    glibc: str
    """The oldest C library that all of the wheels run on."""
    files: tuple[File, ...]
    """In path order."""


def lay_out_wheels(
    lock: Path,
    folder: Path,
    *,
    architecture: str,
    python: str,
    glibc: str,
    leave_out: Sequence[str],
    progress: Progress,
    more: More | None = None,
) -> Layout:
    """Fill `folder` with the packages of a lock file.

    Args:
        lock: a requirements file with exact versions and hashes.
        folder: where the packages go; is made.
        architecture: as `uname -m` has it, e.g. `"aarch64"`.
        python: minor version of the device's CPython, e.g. `"3.11"`.
        glibc: version of the device's C library, e.g. `"2.36"`.
        leave_out: patterns (`fnmatch`, `*` crosses `/`) of paths that are not needed; licences are always kept.
        more: what has no wheel and is laid out beside them.

    Raises:
        HostError: no network and nothing in uv's cache, or no disk space.
        UnsupportedError: there are no wheels for this device.
        IntegrityError: what the index gives is not what was locked.
        BusyError: another edgedeploy has been laying out the same for ten minutes.
    """
    platform = platform_for(architecture, glibc)
    wanted = [read_text(lock, PINNED), str(platform), python, [*_ALWAYS_LEFT_OUT, *leave_out]]
    key = msgspec.json.encode([_LAYOUT_VERSION, *wanted, *([more.key] if more else [])])
    kept = cache_folder() / "runtimes" / hashlib.sha256(key).hexdigest()[:32]

    def build() -> Layout:
        progress.step(f"laying out the runtime for {platform}, Python {python}")
        return _build(lock, kept, platform, python, leave_out, more.lay_out if more else _nothing_more, progress)

    with exclusive(kept, "laying out the same runtime", progress):
        layout = _kept_layout(kept) or build()
        try:
            _copy(kept / "files", folder, layout.files)
        except IntegrityError:
            # What is in the cache can be made again, so the user need not fix it.
            shutil.rmtree(folder, ignore_errors=True)
            layout = build()
            _copy(kept / "files", folder, layout.files)
    return layout


def is_licence(name: str) -> bool:
    """Tell whether a file of this name says under which terms a package may be used."""
    return _LICENCES.search(name) is not None


def _kept_layout(kept: Path) -> Layout | None:
    try:
        return msgspec.json.decode(read_file(kept / "layout.json", MANIFEST), type=Layout)
    except (OSError, msgspec.DecodeError):
        return None


def _nothing_more(folder: Path, progress: Progress) -> None:
    """Add nothing to the wheels."""


def _build(
    lock: Path,
    kept: Path,
    platform: Platform,
    python: str,
    leave_out: Sequence[str],
    more: Callable[[Path, Progress], None],
    progress: Progress,
) -> Layout:
    with replacing_folder(kept) as building:
        files = building / "files"
        install(lock, files, platform, python)
        more(files, progress)
        glibc = max((_wheel_glibc(wheel) for wheel in sorted(files.glob("*.dist-info/WHEEL"))), key=version_numbers)
        _trim(files, (*_ALWAYS_LEFT_OUT, *leave_out))
        layout = Layout(
            packages=_packages(files),
            glibc=glibc,
            files=tuple(File(path.relative_to(files).as_posix(), sha256_file(path)) for path in _files_in(files)),
        )
        write_bytes(building / "layout.json", msgspec.json.encode(layout))
    return layout


def _trim(folder: Path, patterns: Sequence[str]) -> None:
    for path in _files_in(folder):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) and not is_licence(path.name):
            path.unlink()
        else:
            path.chmod(0o644)
    for parent, folders, _ in os.walk(folder, topdown=False):
        for each in folders:
            with contextlib.suppress(OSError):  # not empty
                (Path(parent) / each).rmdir()


def _packages(folder: Path) -> dict[str, str]:
    found = sorted(path.name.removesuffix(".dist-info").rpartition("-") for path in folder.glob("*.dist-info"))
    return {name: version for name, _, version in found}


def _wheel_glibc(wheel: Path) -> str:
    """Read the oldest C library that one of the wheel's tags promises."""
    tags = re.findall(r"manylinux_(\d+)_(\d+)_", read_text(wheel, LICENCE_TEXT))
    return min((f"{major}.{minor}" for major, minor in tags), key=version_numbers, default="2.17")


def _copy(source: Path, folder: Path, files: Sequence[File]) -> None:
    for file in files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with open_file(source / file.path) as reader, place.open("xb") as writer:
                while chunk := reader.read(1 << 20):
                    digest.update(chunk)
                    writer.write(chunk)
        except FileNotFoundError as error:
            raise IntegrityError(f"{source / file.path} is missing") from error
        except OSError as error:
            raise unwritable(place, error) from error
        if digest.hexdigest() != file.sha256:
            raise IntegrityError(f"{source / file.path} is not what was laid out", hint=f"remove {source.parent}")


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
