"""Where packages come from when this machine's apt sources have no such release. Repositories are folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from support.apt_repository import Repository

from edgedeploy.debian import mirrors
from edgedeploy.debian.apt import Apt
from edgedeploy.debian.distributions import DEBIAN, UBUNTU, Distribution, mirror_of_debootstrap
from edgedeploy.debian.mirrors import MIRROR_VARIABLE, ask_sources, working_sources
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.programs import apt_line


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's folder of sources. Debian's own mirror is a folder too, which is not there, and nor are its keys."""
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    configuration = tmp_path / "apt.conf"
    configuration.write_text(f'Dir::Etc::sourcelist "/nonexistent";\nDir::Etc::sourceparts "{folder}";\n')
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    know(monkeypatch, structs.replace(DEBIAN, keyring=tmp_path / "no.gpg", mirror=f"copy:{tmp_path}/debian.org"))
    return folder


def know(monkeypatch: pytest.MonkeyPatch, distribution: Distribution) -> None:
    monkeypatch.setattr(mirrors, "distribution_of", lambda _: distribution)


def sources(*needed: str, release: str = "trixie") -> list[tuple[str, str]]:
    apt = Apt.of(release, "arm64", "test")
    return [(source.uri, source.suite) for source in working_sources(apt, release, needed or ["wanted"])]


def repository(folder: Path, release: str, *, origin: str = "Debian", suite: str = "") -> Repository:
    made = Repository(folder)
    made.add("wanted", "1.0")
    made.publish(suite or release, origin=origin, code_name=release)
    return made


def test_another_release_is_on_the_mirror_that_has_this_machine_s(apt: Path, tmp_path: Path) -> None:
    mirror = repository(tmp_path / "debian", "bookworm")
    mirror.publish("trixie")
    mirror.publish("trixie-updates", code_name="trixie")
    # Of what is no release of Debian's, no other is looked for.
    other = repository(tmp_path / "docker", "stretch-tools", origin="Docker")
    (apt / "a.sources").write_text(
        f"Types: deb\nURIs: copy:{mirror.folder}\nSuites: bookworm bookworm-updates\n"
        "Components: main contrib\nTrusted: yes\n"
    )
    (apt / "b.list").write_text(f"deb [trusted=yes] copy:{other.folder} stretch-tools main\n")
    assert sources() == [(f"copy:{mirror.folder}", "trixie"), (f"copy:{mirror.folder}", "trixie-updates")]
    assert sources(release="bookworm") == [(f"copy:{mirror.folder}", "bookworm")]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new public key, whose private one GnuPG has."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed")
    # The address of gpg-agent's socket has room for 107 bytes.
    home = Path(tempfile.gettempdir()) / f"edgedeploy-gpg-{os.getpid()}"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    try:
        gpg("--quick-gen-key", "test@example.org", "ed25519", "sign", "never")
        path = tmp_path / "derived-archive-keyring.gpg"
        gpg("--output", str(path), "--export")
        yield path
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def gpg(*words: str) -> None:
    line = ["gpg", "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", *words]
    subprocess.run(line, check=True, capture_output=True)


def sign(made: Repository, suite: str) -> None:
    release = made.folder / "dists" / suite / "Release"
    gpg("--clearsign", "--output", str(release.with_name("InRelease")), str(release))


@pytest.mark.slow
def test_a_derivative_s_own_release_of_that_name_is_taken_where_it_is_signed_and_whole(
    apt: Path, tmp_path: Path, key: Path
) -> None:
    derived = repository(tmp_path / "derived", "trixie", origin="Raspbian")
    addition = Repository(tmp_path / "addition")
    addition.add("unrelated", "1.0")
    addition.publish("trixie", origin="Docker")
    for made in (derived, addition):
        sign(made, "trixie")
        (apt / f"{made.folder.name}.list").write_text(f"deb [signed-by={key}] copy:{made.folder} trixie main\n")
    assert sources() == [(f"copy:{derived.folder}", "trixie")]
    with pytest.raises(HostError, match="no apt source of this machine has Debian trixie"):
        sources("wanted", "not-there")
    # What is not signed is not taken, whatever the host says of it.
    unsigned = repository(tmp_path / "unsigned", "trixie", origin="Raspbian")
    (apt / "derived.list").write_text(f"deb [trusted=yes] copy:{unsigned.folder} trixie main\n")
    with pytest.raises(HostError, match="no apt source of this machine has Debian trixie"):
        sources()


def test_keys_that_are_missing_are_named_with_their_package(
    apt: Path, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = repository(tmp_path / "debian", "trixie")
    sign(debian, "trixie")
    old = tmp_path / "old.gpg"
    shutil.copy(key, old)
    gpg("--quick-gen-key", "other@example.org", "ed25519", "sign", "never")
    gpg("--output", str(old), "--export", "other@example.org")
    know(monkeypatch, structs.replace(DEBIAN, keyring=old, mirror=f"copy:{debian.folder}"))
    with pytest.raises(HostError, match="keys that would check Debian trixie from copy:") as caught:
        sources()
    assert (
        caught.value.hint.startswith(apt_line("debian-archive-keyring") + ";") and "board import" in caught.value.hint
    )
    know(monkeypatch, structs.replace(DEBIAN, keyring=key, mirror=f"copy:{debian.folder}"))
    assert sources() == [(f"copy:{debian.folder}", "trixie")]


@pytest.mark.slow
def test_no_network_and_no_source_are_told_apart(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, structs.replace(DEBIAN, keyring=Path(__file__), mirror="http://127.0.0.1:9/debian"))
    with pytest.raises(HostError, match=r"http://127.0.0.1:9/debian cannot be reached") as caught:
        ask_sources("trixie", "arm64")
    assert "check the network" in caught.value.hint and "127.0.0.1" in caught.value.why
    know(monkeypatch, structs.replace(DEBIAN, keyring=Path(__file__), mirror=f"copy:{tmp_path}/none"))
    with pytest.raises(HostError, match="no apt source of this machine has Debian trixie") as caught:
        ask_sources("trixie", "arm64")
    assert f"export {MIRROR_VARIABLE}=" in caught.value.hint
    know(monkeypatch, structs.replace(DEBIAN, keyring=Path(__file__), mirror=""))
    with pytest.raises(HostError, match="no apt source of this machine has Debian trixie") as caught:
        ask_sources("trixie", "arm64")
    assert caught.value.hint.endswith(apt_line("debootstrap"))


@pytest.mark.parametrize(
    ("text", "mirror"),
    [
        ('set -e\nDEF_MIRROR="http://debian.example/debian"\n', "http://debian.example/debian"),
        ('DEF_MIRROR="$1"\n', ""),
        ('DEF_MIRROR="http://ubuntu.example/ubuntu"\n', ""),
        ("", ""),
    ],
)
def test_debootstrap_knows_debian_s_own_mirror(text: str, mirror: str, tmp_path: Path) -> None:
    (tmp_path / "debootstrap").write_text(text)
    assert mirror_of_debootstrap(tmp_path / "debootstrap") == mirror
    assert mirror_of_debootstrap(tmp_path / "none") == ""


@pytest.mark.slow
def test_a_host_s_source_that_does_not_answer_is_named(apt: Path) -> None:
    (apt / "a.list").write_text("deb http://127.0.0.1:9/debian trixie main\n")
    with pytest.raises(HostError, match="this machine's apt sources cannot be reached"):
        sources()


def test_a_host_without_keys_is_told_of_both_ways(apt: Path) -> None:
    with pytest.raises(HostError, match="keys that would check another are missing") as caught:
        sources()
    assert MIRROR_VARIABLE in caught.value.hint and caught.value.hint.endswith(
        apt_line("debian-archive-keyring", "debootstrap")
    )


def test_ubuntu_s_packages_come_from_the_host_s_sources_alone(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, UBUNTU)
    monkeypatch.setenv(MIRROR_VARIABLE, f"copy:{tmp_path}/debian")
    (apt / "archive.list").write_text(f"deb [trusted=yes] copy:{tmp_path}/archive noble main\n")
    with pytest.raises(HostError, match="no apt source of this machine has Ubuntu noble for Arm") as caught:
        sources(release="noble")
    assert "http://HOST/ubuntu-ports noble main" in caught.value.hint
    ports = repository(tmp_path / "ports", "noble", origin="Ubuntu")
    (apt / "ports.list").write_text(f"deb [trusted=yes arch=arm64] copy:{ports.folder} noble main\n")
    assert sources(release="noble") == [(f"copy:{ports.folder}", "noble")]
