"""NumPy for 32-bit Arm, where there are no wheels of it: Debian 12's, with the libraries that it is linked to.

A board has it only if its owner installed it, and a release must run offline the first time. The packages come from
the machine's own apt sources, checked by apt, and are exactly those of the lock; only files of theirs are taken, no
script of theirs is run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgedeploy.debian.apt import Package
from edgedeploy.debian.packages import fetch_alone, unpack
from edgedeploy.foundation.errors import HostError, IntegrityError
from edgedeploy.foundation.files import sha256_file, unwritable
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import PINNED, read_text
from edgedeploy.foundation.scratch import scratch_folder

LOCK = Path(__file__).with_name("debian_numpy.lock")
PYTHON, GLIBC = "3.11", "2.36"
"""What Debian 12's extension modules are for, and what they are linked to."""
LIBRARIES = "numpy.libs"
"""The folder that the loader has to look into."""

_RELEASE, _ARCHITECTURE, _MULTIARCH = "bookworm", "armhf", "arm-linux-gnueabihf"
_LINKED = ("blas/libblas.so.3", "lapack/liblapack.so.3", "libgfortran.so.5")


def lay_out_debian_numpy(folder: Path, progress: Progress = SILENT) -> None:
    """Put `numpy`, its metadata and licences, and `numpy.libs` into a folder that Python is to import from.

    Raises:
        HostError: apt cannot fetch the packages, or has others by now than those of the lock.
        IntegrityError: a package has the locked version and other bytes.
    """
    locked = locked_packages()
    packages = fetch_alone(tuple(locked), release=_RELEASE, architecture=_ARCHITECTURE, progress=progress)
    for package in packages:
        _check(package, *locked[package.name])
    with scratch_folder() as temporary:
        root = Path(temporary)
        unpack(packages, root, leave_out=())
        try:
            take_files(root / "usr", folder)
        except OSError as error:
            raise unwritable(folder, error) from error


def locked_packages() -> dict[str, tuple[str, str]]:
    """Read the version and the SHA-256 of each package of the lock, by name."""
    lines = (line.split() for line in read_text(LOCK, PINNED).splitlines() if not line.startswith("#"))
    return {name: (version, sha256) for name, version, sha256 in lines}


def _check(package: Package, version: str, sha256: str) -> None:
    if package.version != version:
        raise HostError(
            f"Debian has {package.name} {package.version} now, and {version} was locked",
            why="the same model is to give the same bundle, whenever it is compiled",
            hint="take a newer edgedeploy",
        )
    if sha256_file(package.path) != sha256:
        raise IntegrityError(f"{package.path.name} is not the package that was locked", hint=f"remove {package.path}")


def take_files(usr: Path, folder: Path) -> None:
    """Copy what Python imports, what it is linked to and the licences out of an unpacked `/usr` into `folder`."""
    modules = usr / "lib/python3/dist-packages"
    shutil.copytree(modules / "numpy", folder / "numpy")
    # As a wheel has it, so that whoever reads packages reads this one: the metadata's format is the same.
    (described,) = modules.glob("numpy-*.egg-info")
    metadata = folder / f"{described.name.removesuffix('.egg-info')}.dist-info"
    (metadata / "licenses").mkdir(parents=True)
    shutil.copyfile(described / "PKG-INFO", metadata / "METADATA")
    tag = f"cp{PYTHON.replace('.', '')}-cp{PYTHON.replace('.', '')}-manylinux_{GLIBC.replace('.', '_')}_armv7l"
    (metadata / "WHEEL").write_text(f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n", encoding="utf-8")
    for copyright in sorted(usr.glob("share/doc/*/copyright")):
        if not copyright.is_symlink() and copyright.parent.name in locked_packages():
            shutil.copyfile(copyright, metadata / "licenses" / f"LICENSE.{copyright.parent.name}")
    libraries = folder / LIBRARIES
    libraries.mkdir()
    for name in _LINKED:
        shutil.copyfile(usr / "lib" / _MULTIARCH / name, libraries / Path(name).name)
