"""Finds out where the packages of a release come from: which sources are tried in which order, and why none will do.

1. the sources that this machine has of that release, from the distribution itself;
2. those that a derivative has of a release of that name (Raspberry Pi OS and others keep Debian's code names), if they
   are signed and have all that is asked for;
3. the mirror that `EDGEDEPLOY_DEBIAN_MIRROR` names;
4. the mirrors that this machine has another release of the distribution from: they have all;
5. Debian's own mirror as debootstrap names it, where that and Debian's keys are there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from edgedeploy.debian.apt import Apt, apt_places
from edgedeploy.debian.distributions import Distribution, distribution_of, own_mirror
from edgedeploy.debian.sources import (
    AptSource,
    for_release,
    host_sources,
    mirror_sources,
    same_mirrors,
    signed_by,
    without_trust,
)
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.programs import apt_line, last_lines, need
from edgedeploy.foundation.progress import SILENT, Progress

MIRROR_VARIABLE = "EDGEDEPLOY_DEBIAN_MIRROR"
"""Names a Debian mirror for a host that has no source of the board's release."""

# What apt says where nothing answers (apt-pkg and its methods); LC_ALL is C.
_NO_ANSWER = re.compile(
    "Temporary failure resolving|Could not resolve|Could not connect|Cannot initiate the connection|"
    "Unable to connect|Connection failed|Connection timed out|Network is unreachable|No route to host|"
    "Connection refused|Could not wait for server|Could not handshake|response from proxy|Proxy Authentication"
)
# gpgv's words, sqv's, and those about the keyring's file.
_NO_KEY = re.compile(
    r"NO_PUBKEY|public key is not available|Missing key|"
    r"keyring \S+ (?:are|is) ignored|keyring: .* No such file|Signed-By.*(?:not readable|No such file)|"
    r"could not (?:open|read) (?:the )?keyring",
    re.IGNORECASE,
)


class _Trial(Struct, frozen=True, kw_only=True):
    """Sources that were tried, or could not be."""

    what: str
    """Where they come from, in words."""
    said: str
    """By apt."""
    named: bool
    """Whether they are for the release without doubt, so that what is wrong with them is worth saying."""


def working_sources(
    apt: Apt, release: str, needed: Sequence[str], progress: Progress = SILENT
) -> tuple[AptSource, ...]:
    """Find sources of that release whose lists apt has just checked and stored, as this module says.

    Args:
        needed: packages that a derivative must have all of.

    Raises:
        HostError: there are none. It says whether no source has the release, keys are missing or nothing answers.
    """
    distribution = distribution_of(release)
    hosts = host_sources(*apt_places())
    trials: list[_Trial] = []
    if found := for_release(hosts, release):
        working, said = apt.update(found, release, lambda origin: origin == distribution.origin)
        if not all(map(_is_update, working)):
            return _noted(working, said, progress)
        named = any(source.suite.startswith(release) for source in found)
        trials.append(_Trial(what="this machine's apt sources", said=said, named=named))
        if working := _of_derivative(apt, found, release, distribution, needed):
            return working
    for what, sources in _elsewhere(hosts, release, distribution):
        working, said = apt.update(sources, release, lambda origin: origin == distribution.origin)
        if not all(map(_is_update, working)):
            progress.note(f"this machine's apt sources have no {distribution.name} {release}: taking it from {what}")
            return _noted(working, said, progress)
        trials.append(_Trial(what=what, said=said, named=True))
    raise _refusal(release, distribution, trials)


def ask_sources(release: str, architecture: str) -> tuple[str, ...]:
    """Ask where the packages of a release would come from, over the network: the addresses.

    Raises:
        HostError: as `working_sources`, or apt is missing.
    """
    need("apt-get", "apt-config")
    apt = Apt.of(release, architecture, "kernel")
    found = working_sources(apt, release, ["base-files", "python3"])
    return tuple(dict.fromkeys(source.uri for source in found))


def _of_derivative(
    apt: Apt, sources: Sequence[AptSource], release: str, distribution: Distribution, needed: Sequence[str]
) -> tuple[AptSource, ...]:
    """Find a derivative's signed sources that have all that is needed; an addition to Debian, as most are, has not."""
    if all(listed.release != release or listed.origin == distribution.origin for listed in apt.listed()):
        return ()
    checked = without_trust(sources)
    working, _ = apt.update(checked, release, lambda origin: origin != distribution.origin)
    origins = {(listed.uri.rstrip("/"), listed.suite): listed.origin for listed in apt.listed()}
    for origin in dict.fromkeys(origins.values()):
        own = tuple(source for source in working if origins.get((source.uri.rstrip("/"), source.suite)) == origin)
        apt.use(own)
        if own and apt.has(needed):
            return own
    return ()


def _elsewhere(
    hosts: Sequence[AptSource], release: str, distribution: Distribution
) -> Iterator[tuple[str, tuple[AptSource, ...]]]:
    """Yield further sources to try, each with the words for where they are."""
    keyring = distribution.keyring
    mirror = os.environ.get(MIRROR_VARIABLE, "") if distribution.every_architecture else ""
    if mirror:
        if not keyring.is_file():
            raise _no_keyring(mirror, distribution)
        yield mirror, mirror_sources(mirror, release, keyring)
    if near := same_mirrors(hosts, release, distribution):
        # A keyring of one release's keys alone would not do.
        near = signed_by(near, keyring) if keyring.is_file() else near
        yield ", ".join(dict.fromkeys(source.uri for source in near)), near
    if not mirror and keyring.is_file() and (own := own_mirror(distribution)):
        yield own, mirror_sources(own, release, keyring)


def _noted(working: tuple[AptSource, ...], said: str, progress: Progress) -> tuple[AptSource, ...]:
    if not any(map(_is_update, working)):
        failed = [line for line in said.splitlines() if line.startswith("E: Failed to fetch")]
        progress.note(": ".join(("the board gets no security updates from these sources", *failed[-1:])))
    return working


def _is_update(source: AptSource) -> bool:
    return source.suite.endswith(("-updates", "-security", "/updates"))


def _refusal(release: str, distribution: Distribution, trials: Sequence[_Trial]) -> HostError:
    """Say why there is no source, and what to do: keys first, for where they are missing, something has answered."""
    certain = [trial for trial in trials if trial.named]
    name = f"{distribution.name} {release}"
    for trial in certain:
        if _NO_KEY.search(trial.said):
            return HostError(
                f"the keys that would check {name} from {trial.what} are missing, or too old for it",
                why=_lines(trial.said, _NO_KEY),
                hint=f"{apt_line(_keyring_package(trial.said, distribution))}; where no newer one is to be had, import "
                "a board's image from another machine: edgedeploy board import FILE",
            )
    for trial in certain:
        if _NO_ANSWER.search(trial.said):
            return HostError(
                f"{name} cannot be fetched: {trial.what} cannot be reached",
                why=_lines(trial.said, _NO_ANSWER),
                hint=f"check the network, apt's proxy settings and {MIRROR_VARIABLE}, then run the command again",
            )
    said = "; ".join(f"{trial.what}: {last_lines(trial.said, count=2)}" for trial in certain if trial.said.strip())
    why = said or "none of this machine's apt sources has it"
    if not distribution.every_architecture:
        source = f"deb [arch=arm64 signed-by={distribution.keyring}] http://HOST/ubuntu-ports {release} main"
        return HostError(
            f"no apt source of this machine has {name} for Arm",
            why=why,
            hint=f"name a mirror of Ubuntu's ports: echo '{source}' | sudo tee /etc/apt/sources.list.d/ports.list",
        )
    if not distribution.keyring.is_file():
        return HostError(
            f"no apt source of this machine has {name}, and the keys that would check another are missing",
            why=why,
            hint=f"with these it comes from Debian's own mirror, or from the one in {MIRROR_VARIABLE}: "
            f"{apt_line(distribution.keyring_package, 'debootstrap')}",
        )
    if not own_mirror(distribution):
        return HostError(
            f"no apt source of this machine has {name}",
            why=why,
            hint=f"with debootstrap it comes from Debian's own mirror, or from the one in {MIRROR_VARIABLE}: "
            f"{apt_line('debootstrap')}",
        )
    return HostError(
        f"no apt source of this machine has {name}",
        why=why,
        hint="name a host from https://www.debian.org/mirror/list that has it: "
        f"export {MIRROR_VARIABLE}=http://HOST/debian",
    )


def _no_keyring(mirror: str, distribution: Distribution) -> HostError:
    return HostError(
        f"{distribution.keyring}, which would check {mirror}, is missing", hint=apt_line(distribution.keyring_package)
    )


def _keyring_package(said: str, distribution: Distribution) -> str:
    """Name the package of a keyring that apt names; that of the distribution where it names none.

    Derivatives call file and package alike: `raspbian-archive-keyring`, `kali-archive-keyring`.
    """
    match = re.search(r"/([a-z0-9]+-archive-keyring)\.(?:gpg|pgp|asc)", said)
    if match is None or match[1] == distribution.keyring.stem:
        return distribution.keyring_package
    return match[1]


def _lines(said: str, pattern: re.Pattern[str]) -> str:
    return last_lines("\n".join(dict.fromkeys(line for line in said.splitlines() if pattern.search(line))), count=2)
