"""Debian packages of another architecture, fetched with the host's own apt from the host's own sources, without root.

apt gets folders and a list of sources of its own, so that nothing of the host changes; no maintainer script is run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from edgedeploy.debian.sources import (
    KEYRING,
    AptSource,
    as_deb822,
    for_release,
    host_sources,
    mirror_sources,
)
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.files import cache_folder, unwritable
from edgedeploy.foundation.programs import apt_line, completed, end_with_parent, last_lines, need
from edgedeploy.foundation.progress import SILENT, Progress

_END_S = 5.0
"""For dpkg-deb, once tar has all of the package."""
MIRROR_VARIABLE = "EDGEDEPLOY_DEBIAN_MIRROR"
"""Names a Debian mirror for a host that has no source of the board's release (Ubuntu, or another Debian)."""

# The host's proxies, certificates and keys are wanted; its hooks would run for a system that is not the host, its
# release and its pins would rule out the board's packages.
_CONFIGURATION = """\
#clear APT::Architectures;
#clear APT::Default-Release;
#clear APT::Install;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear AptCli::Hooks;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"""
_CHOSEN = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<architecture>\S+)\]\)", re.MULTILINE)


class Package(Struct, frozen=True, kw_only=True):
    name: str
    version: str
    path: Path
    """The `.deb` in the cache."""


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
    progress.step(f"fetching Debian {release} packages for {architecture}")
    apt = _Apt.of(release, architecture, kind)
    apt.use(_working_sources(apt, release, progress))
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
    progress.step(f"fetching a kernel of Debian {release} for {architecture}")
    apt = _Apt.of(release, architecture, "kernel")
    apt.use(_working_sources(apt, release, progress))
    packages = tuple(package for package in apt.chosen(name) if package.name.startswith("linux-image-"))
    apt.checked("download", *(f"{package.name}={package.version}" for package in packages), folder=apt.archives)
    return _arrived(apt, packages, progress)


def fetch_alone(
    names: Sequence[str], *, release: str, architecture: str, progress: Progress = SILENT
) -> tuple[Package, ...]:
    """Download `names` without what they depend on; else as `fetch`."""
    need("apt-get", "apt-config")
    progress.step(f"fetching {', '.join(names)} of Debian {release} for {architecture}")
    # A place of its own: `fetch` removes what its own packages do not need.
    apt = _Apt.of(release, architecture, "alone")
    apt.use(_working_sources(apt, release, progress))
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


def _arrived(apt: _Apt, packages: tuple[Package, ...], progress: Progress) -> tuple[Package, ...]:
    """Check that every package is there; remove all others, which are older versions of an earlier build."""
    missing = [package.path.name for package in packages if not package.path.is_file()]
    if missing or not packages:
        raise HostError("apt did not fetch the board's packages", why=f"missing: {', '.join(missing) or 'all'}")
    for path in set(apt.archives.glob("*.deb")) - {package.path for package in packages}:
        path.unlink(missing_ok=True)
    size_mb = sum(package.path.stat().st_size for package in packages) / 1e6
    progress.note(f"{len(packages)} package{'s' if len(packages) > 1 else ''}, {size_mb:.0f} MB")
    return packages


class _Apt:
    """apt-get with folders of its own, for packages of one architecture."""

    @classmethod
    def of(cls, release: str, architecture: str, kind: str) -> _Apt:
        """Make the one whose folders are kept in the cache. `kind` may be empty."""
        return cls(cache_folder() / "packages" / "-".join(filter(None, (release, architecture, kind))), architecture)

    def __init__(self, folder: Path, architecture: str) -> None:
        self.archives = folder / "archives"
        self._architecture = architecture
        self._sources = folder / "board.sources"
        self._configuration = folder / "apt.conf"
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "APT::Install-Recommends": "false",
            "APT::Install-Suggests": "false",
            # As root, apt would give the download to a user who may not enter the cache folder.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Dir::Cache": str(folder),
            "Dir::Cache::archives": str(self.archives),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::sourcelist": str(self._sources),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Log": str(folder),
            "Dir::State": str(folder),
            "Dir::State::lists": str(folder / "lists"),
            # Nothing is installed. It is a file of ours, because apt puts dpkg's lock beside it.
            "Dir::State::status": str(folder / "status"),
            "Dir::State::extended_states": str(folder / "extended_states"),
        }
        self._options = ["-c", str(self._configuration)]
        self._options += [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        try:
            for place in (folder / "lists/partial", self.archives / "partial"):
                place.mkdir(parents=True, exist_ok=True)
            self._configuration.write_text(_CONFIGURATION)
            (folder / "status").write_text("")
        except OSError as error:
            raise unwritable(folder, error) from error

    def use(self, sources: Iterable[AptSource]) -> None:
        try:
            self._sources.write_text(as_deb822(sources, self._architecture))
        except OSError as error:
            raise unwritable(self._sources, error) from error

    def chosen(self, *names: str) -> tuple[Package, ...]:
        """List what apt would install for `names`, and where it will lie; nothing is downloaded yet."""
        listing = self.checked("install", "--simulate", *names)
        return tuple(
            Package(name=each["name"], version=each["version"], path=self._archive(**each.groupdict()))
            for each in _CHOSEN.finditer(listing)
        )

    def _archive(self, name: str, version: str, architecture: str) -> Path:
        """Return where apt puts a downloaded package: it escapes `:` in versions (apt-pkg/acquire-item.cc)."""
        return self.archives / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return completed(
            ["apt-get", *self._options, "--yes", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )

    def checked(self, *arguments: str, folder: Path | None = None) -> str:
        result = self.run(*arguments, folder=folder)
        if result.returncode:
            raise HostError(
                "apt cannot fetch the board's packages",
                why=last_lines(result.stderr, result.stdout, count=3),
                hint="check the network and the free disk space, then run the command again",
            )
        return result.stdout


def _working_sources(apt: _Apt, release: str, progress: Progress) -> tuple[AptSource, ...]:
    """Find sources that are Debian's own, of that release, whose lists apt has just checked and stored."""
    output = "none of this machine's apt sources is Debian's for that release"
    if found := for_release(host_sources(*_apt_places()), release):
        working, output = _update(apt, found, release)
        if not all(map(_is_update, working)):
            if not any(map(_is_update, working)):
                progress.note("this machine's sources have no security updates: the board gets none")
            return working
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    if not mirror:
        raise HostError(
            f"this machine's apt cannot fetch Debian {release}",
            why=output,
            hint="check the network; on a machine that is not Debian's, name a host from "
            f"https://www.debian.org/mirror/list: export {MIRROR_VARIABLE}=http://HOST/debian",
        )
    if not KEYRING.is_file():
        raise HostError(
            f"{KEYRING}, which would check {mirror}, is missing", why=output, hint=apt_line("debian-archive-keyring")
        )
    progress.note(f"no source of this machine has Debian {release}: taking it from {mirror}")
    working, output = _update(apt, mirror_sources(mirror, release), release)
    if all(map(_is_update, working)):
        raise HostError(
            f"Debian {release} cannot be fetched from {mirror}",
            why=output,
            hint=f"check the network, apt's proxy settings and {MIRROR_VARIABLE}, then run the command again",
        )
    return working


def _is_update(source: AptSource) -> bool:
    return source.suite.endswith(("-updates", "-security", "/updates"))


def _update(apt: _Apt, sources: Sequence[AptSource], release: str) -> tuple[tuple[AptSource, ...], str]:
    """Fetch the lists of `sources`; return those that turn out to be Debian's for that release, and what apt said.

    A source that does not answer is left out, as apt goes on without it; a list that was fetched earlier will do.
    """
    apt.use(sources)
    result = apt.run("update")
    stored = set()
    form = "$(ORIGIN)\t$(CODENAME)\t$(REPO_URI)\t$(RELEASE)\t$(FILENAME)"
    for line in apt.run("indextargets", "--format", form, "Created-By: Packages").stdout.splitlines():
        origin, code_name, uri, suite, path = line.split("\t")
        if origin == "Debian" and re.split("[-/]", code_name)[0] == release and Path(path).is_file():
            stored.add((uri.rstrip("/"), suite))
    working = tuple(source for source in sources if (source.uri.rstrip("/"), source.suite) in stored)
    return working, last_lines(result.stderr, result.stdout, count=3)


def _apt_places() -> tuple[Path, Path]:
    """Find the host's file and folder of sources, wherever its configuration has them."""
    words = ["apt-config", "shell", "file", "Dir::Etc::sourcelist/f", "folder", "Dir::Etc::sourceparts/d"]
    text = completed(words).stdout
    places = dict(word.partition("=")[::2] for word in shlex.split(text))
    return Path(places.get("file", "/etc/apt/sources.list")), Path(places.get("folder", "/etc/apt/sources.list.d"))
