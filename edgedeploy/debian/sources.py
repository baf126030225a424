"""The host's apt sources, reduced to those that may hold a Debian release, for any architecture.

Both formats of sources.list(5) are read: one line per source (`*.list`) and deb822 stanzas (`*.sources`). What a source
says about trust (`Signed-By`, keys written out in the file …) is kept word for word; what ties it to the host's own
architecture is dropped, because Debian's mirrors carry all of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, structs

from edgedeploy.debian.distributions import Distribution
from edgedeploy.foundation.reading import APT_SOURCES, read_text

# sources.list(5), "file naming": apt reads no other files of a folder of sources.
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+\.(list|sources)")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>(?:\s+\S+)*)")
# Names for whatever release is in that role: which release it is shows only in the list that it leads to.
_ROLES = {"stable", "oldstable", "oldoldstable", "testing"}
_TRUST = {"trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"}
# Ours to set: what to fetch, and for which architecture.
_OVERRIDDEN = {
    *("types", "uris", "suites", "components", "enabled"),
    *("architectures", "architectures-add", "architectures-remove", "arch", "arch+", "arch-"),
    *("languages", "languages-add", "languages-remove", "lang", "lang+", "lang-"),
    *("targets", "targets-add", "targets-remove", "target", "target+", "target-"),
}


class AptSource(Struct, frozen=True, kw_only=True):
    """One suite at one address. A stanza, or a line, of the host's may stand for several."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    """Further deb822 fields with their values; continuation lines are kept."""


def host_sources(source_list: Path, source_folder: Path) -> tuple[AptSource, ...]:
    """Read the sources in apt's file and folder (`Dir::Etc::sourcelist`, `Dir::Etc::sourceparts`) that are switched on.

    What cannot be read or parsed is passed over: apt itself complains about it to whoever runs it.
    """
    paths = [source_list]
    if source_folder.is_dir():
        paths += sorted(path for path in source_folder.iterdir() if _FILE_NAME.fullmatch(path.name))
    sources: list[AptSource] = []
    for path in paths:
        try:
            text = read_text(path, APT_SOURCES, errors="replace")
        except OSError:
            continue
        sources += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    return tuple(sources)


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Parse a file in the one-line format: `deb [option=value …] uri suite component …`."""
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        options = (word.partition("=") for word in (match["options"] or "").split())
        yield AptSource(
            uri=match["uri"],
            suite=match["suite"],
            components=tuple(match["components"].split()),
            options=tuple((name, value) for name, _, value in options if name.lower() not in _OVERRIDDEN),
        )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Parse a file in the deb822 format: stanzas of `Field: value`, parted by empty lines."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                if name:
                    fields[name] += "\n" + line.rstrip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        types, uris, suites = (fields.get(key, "").split() for key in ("types", "uris", "suites"))
        if "deb" in types and uris and suites and fields.get("enabled", "yes").lower() not in ("no", "false", "0"):
            for uri, suite in itertools.product(uris, suites):
                yield AptSource(
                    uri=uri,
                    suite=suite,
                    components=tuple(fields.get("components", "").split()),
                    options=tuple((name, value) for name, value in fields.items() if name not in _OVERRIDDEN),
                )


def for_release(sources: Iterable[AptSource], release: str) -> tuple[AptSource, ...]:
    """Select of `sources` what may hold the release with that code name, its updates and its security updates.

    A suite that is named by its role (`stable`) is kept too. Whether a source is Debian's own shows only in the signed
    list that it leads to.
    """
    # https://www.debian.org/releases/: the security suite was called `CODENAME/updates` until buster.
    names = {name + end for name in {release, *_ROLES} for end in ("", "-updates", "-security", "/updates")}
    return tuple(
        source
        for source in sources
        if source.suite in names and source.components and not source.uri.startswith("cdrom:")
    )


def same_mirrors(sources: Iterable[AptSource], release: str, distribution: Distribution) -> tuple[AptSource, ...]:
    """Turn sources of other releases of a distribution into those of `release` on the same mirrors.

    Mirrors have all releases, and a host most often only its own. What a source says of keys is kept.
    """
    of_release = [source for source in sources if not source.uri.startswith("cdrom:") and source.components]
    found: dict[tuple[str, str], AptSource] = {}
    for source in of_release:
        name, ending = _split_suite(source.suite)
        if name in distribution.releases | distribution.other_names and name != release:
            moved = structs.replace(source, suite=release + ending, components=_common(source.components))
            found.setdefault((moved.uri.rstrip("/"), moved.suite), moved)
    return tuple(found.values())


def without_trust(sources: Iterable[AptSource]) -> tuple[AptSource, ...]:
    """Drop what would let sources do without a signature."""
    return tuple(
        structs.replace(source, options=tuple(option for option in source.options if option[0].lower() not in _TRUST))
        for source in sources
    )


def signed_by(sources: Iterable[AptSource], keyring: Path) -> tuple[AptSource, ...]:
    """Check sources by one keyring, in the place of what they say of keys."""
    return tuple(
        structs.replace(
            source,
            options=(
                *(option for option in source.options if option[0].lower() != "signed-by"),
                ("Signed-By", str(keyring)),
            ),
        )
        for source in sources
    )


def mirror_sources(mirror: str, release: str, keyring: Path) -> tuple[AptSource, ...]:
    """Make the sources of a Debian mirror (`http://HOST/debian`) that this machine has no source of.

    Its security updates are looked for beside it, at `http://HOST/debian-security`, where most mirrors have them.
    """
    mirror = mirror.rstrip("/")
    return tuple(
        AptSource(uri=uri, suite=suite, components=("main",), options=(("Signed-By", str(keyring)),))
        for uri, suite in (
            (mirror, release),
            (mirror, f"{release}-updates"),
            (f"{mirror}-security", f"{release}-security"),
        )
    )


def _split_suite(suite: str) -> tuple[str, str]:
    """Part a suite into the name of its release, or role, and the ending that marks updates."""
    for ending in ("-updates", "-security"):
        if suite.endswith(ending):
            return suite.removesuffix(ending), ending
    return suite, ""


def _common(components: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out of a source's components what releases may not have: all that boards are made from is in `main`."""
    return tuple(name for name in components if name == "main") or components


def as_deb822(sources: Iterable[AptSource], architecture: str) -> str:
    """Write the sources as the text of a `*.sources` file, for the package lists of one architecture alone."""
    return "\n".join(
        "".join(
            f"{name}: {value}\n"
            for name, value in (
                ("Types", "deb"),
                ("URIs", source.uri),
                ("Suites", source.suite),
                ("Components", " ".join(source.components)),
                ("Architectures", architecture),
                ("Languages", "none"),
                ("Targets", "Packages"),
                *source.options,
            )
        )
        for source in sources
    )
