"""Debian packages of another architecture, fetched with the host's own apt from the host's own sources, without root.

apt gets folders and a list of sources of its own, so that nothing of the host changes; no maintainer script is run.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgedeploy.debian.apt import Apt, Package
from edgedeploy.debian.distributions import distribution_of
from edgedeploy.debian.mirrors import working_sources
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.programs import completed, end_with_parent, last_lines, need
from edgedeploy.foundation.progress import SILENT, Progress

_END_S = 5.0
"""For dpkg-deb, once tar has all of the package."""


def fetch(
    names: Sequence[str], *, release: str, architecture: str, kind: str = "", progress: Progress = SILENT
) -> tuple[Package, ...]:
    """Download `names` and all that they depend on, and return every package.

    Args:
        release: Debian's code name, e.g. `"bookworm"`.
        architecture: Debian's name of it, e.g. `"arm64"`.
        kind: of system that they are for. Each kind has a place of its own in the cache: what an earlier call for that
            kind has left there, and this one does not need, is removed.

    Raises:
        HostError: apt is missing, no source has that release, or the download fails.
    """
    need("apt-get", "apt-config")
    progress.step(f"fetching {distribution_of(release).name} {release} packages for {architecture}")
    apt = Apt.of(release, architecture, kind)
    apt.use(working_sources(apt, release, names, progress))
    packages = apt.chosen(*names)
    apt.checked("install", "--download-only", *names)
    return _arrived(apt, packages, progress)


def fetch_kernel(name: str, *, release: str, architecture: str, progress: Progress = SILENT) -> tuple[Package, ...]:
    """Download the kernel that the package `name` stands for, without the tools that a PC would install it with.

    Args:
        name: of a kernel, or of the package that depends on the newest one, e.g. `"linux-image-armmp"`.

    Raises:
        HostError: as `fetch`.
    """
    need("apt-get", "apt-config")
    progress.step(f"fetching a kernel of {distribution_of(release).name} {release} for {architecture}")
    apt = Apt.of(release, architecture, "kernel")
    apt.use(working_sources(apt, release, [name], progress))
    parts = distribution_of(release).kernel_parts
    packages = tuple(package for package in apt.chosen(name) if package.name.startswith(parts))
    apt.checked("download", *(f"{package.name}={package.version}" for package in packages), folder=apt.archives)
    return _arrived(apt, packages, progress)


def fetch_alone(
    names: Sequence[str], *, release: str, architecture: str, progress: Progress = SILENT
) -> tuple[Package, ...]:
    """Download `names` without what they depend on; else as `fetch`."""
    need("apt-get", "apt-config")
    progress.step(f"fetching {', '.join(names)} of {distribution_of(release).name} {release} for {architecture}")
    # A place of its own: `fetch` removes what its own packages do not need.
    apt = Apt.of(release, architecture, "alone")
    apt.use(working_sources(apt, release, names, progress))
    packages = tuple(package for package in apt.chosen(*names) if package.name in names)
    apt.checked("download", *(f"{package.name}={package.version}" for package in packages), folder=apt.archives)
    if missing := set(names) - {package.name for package in packages if package.path.is_file()}:
        raise HostError("apt did not fetch every package", why=f"missing: {', '.join(sorted(missing))}")
    return packages


def unpack(packages: Sequence[Package], root: Path, *, leave_out: Sequence[str], progress: Progress = SILENT) -> None:
    """Unpack the packages' files into `root`, where `/bin`, `/sbin` and `/lib` are links into `/usr`.

    Args:
        leave_out: folders, relative to the root, whose content is not unpacked.

    Raises:
        HostError: a package is damaged, or there is no room.
    """
    need("dpkg-deb", "tar")
    progress.step("unpacking")
    # Since Debian 12 these are links; the package that made them so did it in its maintainer script.
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    extract = ["tar", "--extract", "--preserve-permissions", "--no-same-owner", "--keep-directory-symlink"]
    extract += [*(f"--exclude=./{folder}/*" for folder in leave_out), "--directory", str(root)]
    for done, package in enumerate(packages, start=1):
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        ) as archive:
            try:
                result = completed(extract, stdin=archive.stdout)
                # Where tar ends with an error, dpkg-deb has nobody to write to any more, and ends too.
                assert archive.stdout is not None
                archive.stdout.close()
                archive.wait(_END_S)
            except subprocess.TimeoutExpired as error:
                raise HostError(f"{package.path.name} cannot be unpacked", why="dpkg-deb did not end") from error
            finally:
                archive.kill()
        if result.returncode or archive.returncode:
            package.path.unlink(missing_ok=True)  # if it is the download that is damaged, the next one begins anew
            raise HostError(f"{package.path.name} cannot be unpacked", why=last_lines(result.stderr))
        progress.advance(done, len(packages), "packages")


def _arrived(apt: Apt, packages: tuple[Package, ...], progress: Progress) -> tuple[Package, ...]:
    """Check that every package is there; remove all others, which are older versions of an earlier build."""
    missing = [package.path.name for package in packages if not package.path.is_file()]
    if missing or not packages:
        raise HostError("apt did not fetch the board's packages", why=f"missing: {', '.join(missing) or 'all'}")
    for path in set(apt.archives.glob("*.deb")) - {package.path for package in packages}:
        path.unlink(missing_ok=True)
    size_mb = sum(package.path.stat().st_size for package in packages) / 1e6
    progress.note(f"{len(packages)} package{'s' if len(packages) > 1 else ''}, {size_mb:.0f} MB")
    return packages
