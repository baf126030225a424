from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.debian.sources import (
    AptSource,
    as_deb822,
    for_release,
    host_sources,
    mirror_sources,
    parse_deb822,
    parse_one_line,
)

MIRROR = "http://mirror.example/debian"


def test_one_line_format() -> None:
    text = """
# deb http://mirror.example/off bookworm main
deb http://mirror.example/debian bookworm main contrib # a note
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64,i386 signed-by=/keys/a.gpg trusted=yes lang=en] http://mirror.example/debian  bookworm-updates main
deb [ arch+=armhf ] http://mirror.example/flat ./
nonsense
"""
    assert list(parse_one_line(text)) == [
        AptSource(uri=MIRROR, suite="bookworm", components=("main", "contrib")),
        AptSource(
            uri=MIRROR,
            suite="bookworm-updates",
            components=("main",),
            options=(("signed-by", "/keys/a.gpg"), ("trusted", "yes")),
        ),
        AptSource(uri="http://mirror.example/flat", suite="./", components=()),
    ]


def test_deb822_format() -> None:
    text = """\
# the first stanza
Types: deb deb-src
URIs: http://mirror.example/debian
# a comment in between
Suites: bookworm bookworm-updates
Components: main
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://mirror.example/off
Suites: bookworm
Components: main
"""
    first, second = parse_deb822(text)
    assert (first.suite, second.suite) == ("bookworm", "bookworm-updates")
    assert first.options == second.options
    ((name, key),) = first.options
    assert name == "signed-by"
    assert key.startswith("\n -----BEGIN") and "\n .\n" in key


def test_only_what_may_hold_the_release_is_kept() -> None:
    def source(suite: str, uri: str = MIRROR) -> AptSource:
        return AptSource(uri=uri, suite=suite, components=("main",))

    suites = ("bookworm", "bookworm-updates", "bookworm-security", "bookworm/updates", "stable", "oldstable-security")
    others = ("trixie", "bookworm-backports", "sid", "jammy", "nodistro", "./")
    cdrom = source("bookworm", "cdrom:[Debian GNU/Linux 12]/")
    kept = for_release([*map(source, suites), *map(source, others), cdrom], "bookworm")
    assert tuple(kept_source.suite for kept_source in kept) == suites


def test_the_host_s_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(f"deb {MIRROR} one main\n")
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "b.list").write_text(f"deb {MIRROR} three main\n")
    (folder / "a.sources").write_text(f"Types: deb\nURIs: {MIRROR}\nSuites: two\nComponents: main\n")
    (folder / "c.list.save").write_text(f"deb {MIRROR} ignored main\n")
    (folder / "binary.list").write_bytes(b"\xff\xfe\x00")
    (folder / "folder.list").mkdir()
    found = host_sources(tmp_path / "sources.list", folder)
    assert [source.suite for source in found] == ["one", "two", "three"]
    assert host_sources(tmp_path / "none", tmp_path / "neither") == ()


def test_written_sources_say_the_same_when_read_again() -> None:
    sources = mirror_sources("http://mirror.example/debian/", "bookworm", Path("/keys.gpg"))
    text = as_deb822(sources, "arm64")
    assert text.count("Architectures: arm64\n") == 3
    assert [(again.uri, again.suite, again.components) for again in parse_deb822(text)] == [
        (source.uri, source.suite, source.components) for source in sources
    ]


@given(st.text(alphabet="deb [=]:/#\n\tSuitesURITyp.-arch ", max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    for source in (*parse_one_line(text), *parse_deb822(text)):
        assert source.uri and source.suite
