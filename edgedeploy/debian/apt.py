"""Runs apt-get with folders of its own: for packages of another architecture or release, without root.

Nothing of the host changes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from edgedeploy.debian.sources import AptSource, as_deb822
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.files import cache_folder, unwritable
from edgedeploy.foundation.programs import completed, last_lines

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


class Listed(Struct, frozen=True, kw_only=True):
    """A list of packages that apt has fetched, and what its signed `Release` says of it."""

    origin: str
    release: str
    """Its code name, without what marks updates."""
    uri: str
    suite: str


class Apt:
    """apt-get with folders of its own, for packages of one architecture."""

    @classmethod
    def of(cls, release: str, architecture: str, kind: str) -> Apt:
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
            # Of several sources that are tried, those that are tried first take no lists from the others.
            "APT::Get::List-Cleanup": "false",
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

    def update(
        self, sources: Sequence[AptSource], release: str, accepted: Callable[[str], bool]
    ) -> tuple[tuple[AptSource, ...], str]:
        """Use `sources`, and fetch their lists.

        A source that does not answer is left out, as apt goes on without it; a list that was fetched earlier will do.

        Args:
            release: only lists of that code name count.
            accepted: asked whose lists count, by the `Origin` that they name.

        Returns:
            Those of `sources` whose lists count, and all that apt said.
        """
        self.use(sources)
        result = self.run("update")
        stored = {
            (listed.uri.rstrip("/"), listed.suite)
            for listed in self.listed()
            if listed.release == release and accepted(listed.origin)
        }
        working = tuple(source for source in sources if (source.uri.rstrip("/"), source.suite) in stored)
        return working, f"{result.stdout}\n{result.stderr}"

    def listed(self) -> tuple[Listed, ...]:
        """Read whose lists of the sources in use have been fetched and checked."""
        form = "$(ORIGIN)\t$(CODENAME)\t$(REPO_URI)\t$(RELEASE)\t$(TRUSTED)\t$(FILENAME)"
        found = []
        for line in self.run("indextargets", "--format", form, "Created-By: Packages").stdout.splitlines():
            origin, code_name, uri, suite, trusted, path = line.split("\t")
            # A list may lie there from when the source was trusted without a signature.
            if trusted == "yes" and Path(path).is_file():
                found.append(Listed(origin=origin, release=re.split("[-/]", code_name)[0], uri=uri, suite=suite))
        return tuple(found)

    def has(self, names: Sequence[str]) -> bool:
        """Tell whether the lists of the sources in use have all of those packages, with what they depend on."""
        return self.run("install", "--simulate", *names).returncode == 0

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


def apt_places() -> tuple[Path, Path]:
    """Find the host's file and folder of sources, wherever its configuration has them."""
    words = ["apt-config", "shell", "file", "Dir::Etc::sourcelist/f", "folder", "Dir::Etc::sourceparts/d"]
    text = completed(words).stdout
    places = dict(word.partition("=")[::2] for word in shlex.split(text))
    return Path(places.get("file", "/etc/apt/sources.list")), Path(places.get("folder", "/etc/apt/sources.list.d"))
