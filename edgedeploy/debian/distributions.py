"""The two distributions that boards are built from: whose releases are whose, and what each one's archive needs."""

from __future__ import annotations

import platform
from pathlib import Path

from msgspec import Struct


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
    mirror: str
    """That is asked where this machine has none, with `keyring`; empty where there is none for every architecture."""
    kernel_parts: tuple[str, ...]
    """How the names of the packages begin that a kernel and its modules are in."""


DEBIAN = Distribution(
    name="Debian",
    origin="Debian",
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    keyring_package="debian-archive-keyring",
    releases=frozenset({"bullseye", "bookworm", "trixie", "forky"}),
    other_names=frozenset({"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "buster"}),
    # What Debian's own installer writes. Not https: a machine may have no certificates, and the lists are signed.
    mirror="http://deb.debian.org/debian",
    kernel_parts=("linux-image-",),
)
UBUNTU = Distribution(
    name="Ubuntu",
    origin="Ubuntu",
    keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    keyring_package="ubuntu-keyring",
    releases=frozenset({"jammy", "noble", "resolute"}),  # those with long-term support
    other_names=frozenset({"focal", "devel"}),
    mirror="",
    kernel_parts=("linux-image-", "linux-modules-"),
)


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
