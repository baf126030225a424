"""The two distributions that boards are built from: whose releases are whose, and what each one's archive needs."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from msgspec import Struct

from edgedeploy.foundation.reading import APT_SOURCES, read_text

_DEBOOTSTRAP = Path("/usr/sbin/debootstrap")


class Distribution(Struct, frozen=True, kw_only=True):
    """Where packages come from, and how they are checked."""

    name: str
    origin: str
    """As its signed lists say: the field `Origin`."""
    keyring: Path
    """Its archive's keys, on every system that has `keyring_package`."""
    keyring_package: str
    releases: frozenset[str]
    """Code names of those that boards can have."""
    other_names: frozenset[str]
    """Further names that suites of its mirrors have. Some are for whatever release is in that role."""
    every_architecture: bool
    """Whether each of its mirrors has the packages of all."""
    mirror: str | None
    """That is asked where this machine has none, with `keyring`. Empty: there is none; None: as debootstrap says."""
    kernel_parts: tuple[str, ...]
    """How the names of the packages begin that a kernel and its modules are in."""


DEBIAN = Distribution(
    name="Debian",
    origin="Debian",
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    keyring_package="debian-archive-keyring",
    releases=frozenset({"bullseye", "bookworm", "trixie", "forky"}),
    other_names=frozenset({"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "buster"}),
    every_architecture=True,
    mirror=None,
    kernel_parts=("linux-image-",),
)
UBUNTU = Distribution(
    name="Ubuntu",
    origin="Ubuntu",
    keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    keyring_package="ubuntu-keyring",
    releases=frozenset({"jammy", "noble", "resolute"}),  # those with long-term support
    other_names=frozenset({"focal", "devel"}),
    every_architecture=False,
    mirror="",
    kernel_parts=("linux-image-", "linux-modules-"),
)


def mirror_of_debootstrap(program: Path = _DEBOOTSTRAP) -> str:
    """Read Debian's own mirror from the program that makes Debian systems, a shell script; empty where it is not there.

    The lists of the mirror are signed: it need not be https, which a machine without certificates cannot use.
    """
    try:
        found = re.search(r'^DEF_MIRROR="(https?://[^"\s]+/debian)"$', read_text(program, APT_SOURCES), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1] if found else ""


def own_mirror(distribution: Distribution) -> str:
    """Return the mirror of a distribution's own; empty where none is known."""
    return mirror_of_debootstrap() if distribution.mirror is None else distribution.mirror


def distribution_of(release: str) -> Distribution:
    """Tell whose release a code name is, e.g. `"trixie"`. One that nobody knows is taken for Debian's."""
    return UBUNTU if release in UBUNTU.releases else DEBIAN


def own_release() -> str:
    """Read the code name of this machine's own release; empty where it does not say one, or is no Linux.

    What is derived from Debian and keeps its code names, as Raspberry Pi OS does, or names Debian's beside its own, as
    Linux Mint does (`DEBIAN_CODENAME`), counts as that release.
    """
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return ""
    return facts.get("DEBIAN_CODENAME") or facts.get("VERSION_CODENAME", "")
