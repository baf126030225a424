"""Debian packages of another architecture, fetched with the host's own apt and its own sources, without root.

apt gets a state folder of its own, so that nothing of the host changes; no maintainer script is run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from edgedeploy.device.emulator.tools import need
from edgedeploy.errors import HostError
from edgedeploy.files import cache_folder
from edgedeploy.progress import SILENT, Progress

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Debian's own front door, for hosts that are configured for another release or another distribution.
_DEFAULT_SOURCES = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: {release} {release}-updates
Components: main
Signed-By: {keyring}

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: {release}-security
Components: main
Signed-By: {keyring}
"""


class Package(Struct, frozen=True, kw_only=True):
    name: str
    version: str
    path: Path
    """The `.deb` in the cache."""


def fetch(names: Sequence[str], *, release: str, architecture: str, progress: Progress = SILENT) -> tuple[Package, ...]:
    """Download `names` and all that they depend on, and return every package.

    Args:
        release: Debian's code name, e.g. `"bookworm"`.
        architecture: Debian's name of it, e.g. `"arm64"`.

    Raises:
        HostError: apt is missing, no source has that release, or the download fails.
    """
    need("apt-get", "dpkg-deb")
    folder = cache_folder() / "packages" / f"{release}-{architecture}"
    for name in ("lists/partial", "archives/partial", "etc"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    # Only Debian's own packages of this release: the host may have sources of third parties.
    (folder / "etc/preferences").write_text(
        f"Package: *\nPin: release o=Debian, n={release}*\nPin-Priority: 990\n\n"
        "Package: *\nPin: release *\nPin-Priority: -1\n"
    )
    progress.step(f"fetching Debian {release} packages for {architecture}")
    options = _options(folder, architecture)
    update = _apt([*options, "update"])
    if release not in _releases(options):
        if not _KEYRING.is_file():
            raise HostError(
                f"this machine's apt has no source for Debian {release}, and no key to check one with",
                why=update.stderr.strip().splitlines()[-1] if update.stderr.strip() else "",
                mend="apt-get install -y debian-archive-keyring",
            )
        sources = folder / "etc/default.sources"
        sources.write_text(_DEFAULT_SOURCES.format(release=release, keyring=_KEYRING))
        options += ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"]
        update = _apt([*options, "update"])
        if release not in _releases(options):
            raise HostError(
                f"Debian {release} for {architecture} cannot be fetched",
                why=_last_lines(update.stderr or update.stdout),
                mend="check the network and apt's proxy settings, then run the command again",
            )
    installed = _checked([*options, "install", "--yes", "--download-only", *names])
    progress.note(_last_lines(installed.stdout, 1))
    listing = _checked([*options, "--simulate", "install", "--yes", *names]).stdout
    versions = {
        words[1]: words[2].lstrip("(") for line in listing.splitlines() if (words := line.split())[:1] == ["Inst"]
    }
    packages = []
    for path in sorted((folder / "archives").glob("*.deb")):
        name = path.name.partition("_")[0]
        if name in versions:
            packages.append(Package(name=name, version=versions[name], path=path))
    if missing := versions.keys() - {package.name for package in packages}:
        raise HostError(f"apt did not fetch {', '.join(sorted(missing))}")
    return tuple(packages)


def unpack(packages: Sequence[Package], root: Path, progress: Progress = SILENT) -> None:
    """Unpack the packages' files into `root`, whose `/bin`, `/sbin` and `/lib` become links into `/usr`."""
    root.mkdir(parents=True, exist_ok=True)
    progress.step("unpacking")
    for done, package in enumerate(packages, start=1):
        result = subprocess.run(
            ["dpkg-deb", "--extract", str(package.path), str(root)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise HostError(f"{package.path.name} cannot be unpacked", why=_last_lines(result.stderr))
        progress.advance(done, len(packages), "packages")
    for name in ("bin", "sbin", "lib", "lib64"):
        apart = root / name
        if apart.is_dir() and not apart.is_symlink():
            shutil.copytree(apart, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(apart)
        if (root / "usr" / name).is_dir():
            apart.symlink_to(f"usr/{name}")


def _options(folder: Path, architecture: str) -> list[str]:
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",
        "Dir::Cache::archives": str(folder / "archives"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::preferences": str(folder / "etc/preferences"),
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::State::status": "/dev/null",
        "Dir::State::extended_states": "/dev/null",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _releases(options: Sequence[str]) -> set[str]:
    """Code names of Debian's releases that apt now has lists of."""
    result = _apt([*options, "indextargets", "--format", "$(ORIGIN) $(CODENAME)", "Created-By: Packages"])
    return {line.partition(" ")[2] for line in result.stdout.splitlines() if line.startswith("Debian ")}


def _apt(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        check=False,
    )


def _checked(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    result = _apt(arguments)
    if result.returncode:
        raise HostError(
            "apt cannot fetch the board's packages",
            why=_last_lines(result.stderr or result.stdout),
            mend="check the network and free disk space, then run the command again",
        )
    return result


def _last_lines(text: str, count: int = 3) -> str:
    return " | ".join(text.strip().splitlines()[-count:])
