"""apt itself, on a repository in a folder: no network, real signatures left out by `trusted`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs
from support.apt_repository import Repository

from edgedeploy.debian import mirrors
from edgedeploy.debian.apt import Package
from edgedeploy.debian.distributions import DEBIAN, UBUNTU
from edgedeploy.debian.packages import fetch, fetch_kernel, unpack
from edgedeploy.foundation.errors import HostError


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's folder of sources, and a hook that must never run."""
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "/nonexistent";\nDir::Etc::sourceparts "{folder}";\n'
        f'APT::Default-Release "trixie";\nAPT::Architectures {{ "amd64"; }};\n'
        f'APT::Update::Pre-Invoke {{ "touch {tmp_path}/hook"; }};\n'
        f'APT::Update::Post-Invoke {{ "touch {tmp_path}/hook"; }};\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    set_keyring(monkeypatch, tmp_path / "no keyring")
    return folder


def set_keyring(monkeypatch: pytest.MonkeyPatch, path: Path, mirror: str = DEBIAN.mirror) -> None:
    debian = structs.replace(DEBIAN, keyring=path, mirror=mirror)
    monkeypatch.setattr(mirrors, "distribution_of", lambda _: debian)


def get(*names: str) -> dict[str, str]:
    return {package.name: package.version for package in fetch(names, release="bookworm", architecture="arm64")}


@pytest.mark.slow
def test_packages_come_with_what_they_depend_on(apt: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "debian")
    repository.add("needed", "1:2.0-1")
    repository.add("wanted", "1.0", depends="needed")
    repository.add("other", "1.0")
    repository.publish("bookworm")
    (apt / "a.list").write_text(f"deb [arch=amd64 trusted=yes] copy:{repository.folder} bookworm main\n")
    assert get("wanted") == {"wanted": "1.0", "needed": "1:2.0-1"}
    assert not (tmp_path / "hook").exists()

    # A newer version takes the place of the older one in the cache.
    repository.add("wanted", "1.1", depends="needed")
    repository.publish("bookworm")
    assert get("wanted") == {"wanted": "1.1", "needed": "1:2.0-1"}
    assert len(list((tmp_path / "cache").rglob("*.deb"))) == 2


@pytest.mark.slow
def test_a_kernel_comes_without_the_tools_that_install_it(apt: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "debian")
    repository.add("linux-image-armmp", "6.1-1", depends="linux-image-6.1-armmp")
    repository.add("linux-image-6.1-armmp", "6.1-1", depends="initramfs-tools")
    repository.add("initramfs-tools", "1.0")
    repository.add("system", "1.0")
    repository.publish("bookworm")
    (apt / "a.list").write_text(f"deb [trusted=yes] copy:{repository.folder} bookworm main\n")
    kernel = fetch_kernel("linux-image-armmp", release="bookworm", architecture="arm64")
    assert {package.name for package in kernel} == {"linux-image-armmp", "linux-image-6.1-armmp"}
    # What one kind of system is made from, stays when another's is fetched.
    assert get("system") == {"system": "1.0"}
    fetch(["initramfs-tools"], release="bookworm", architecture="arm64", kind="minimal")
    assert all(package.path.is_file() for package in kernel)
    assert len(list((tmp_path / "cache").rglob("*.deb"))) == 4


@pytest.mark.slow
def test_a_kernel_of_ubuntu_s_has_its_modules_in_a_package_of_their_own(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "distribution_of", lambda _: UBUNTU)
    repository = Repository(tmp_path / "ubuntu")
    repository.add("linux-image-virtual", "6.8", depends="linux-image-6.8-generic")
    repository.add("linux-image-6.8-generic", "6.8", depends="linux-modules-6.8-generic, kmod")
    repository.add("linux-modules-6.8-generic", "6.8")
    repository.add("kmod", "1.0")
    repository.publish("noble", origin="Ubuntu")
    (apt / "a.list").write_text(f"deb [trusted=yes] copy:{repository.folder} noble main\n")
    kernel = fetch_kernel("linux-image-virtual", release="noble", architecture="arm64")
    assert {package.name for package in kernel} == {
        *("linux-image-virtual", "linux-image-6.8-generic", "linux-modules-6.8-generic")
    }


def test_other_people_s_packages_are_not_taken(apt: Path, tmp_path: Path) -> None:
    debian, third, old = (Repository(tmp_path / name) for name in ("debian", "third", "old"))
    debian.add("wanted", "1.0")
    debian.publish("bookworm")
    third.add("wanted", "9.0")
    third.publish("bookworm", origin="Docker")
    old.add("wanted", "8.0")
    old.publish("oldstable", code_name="bullseye")
    for repository, suite in ((debian, "bookworm"), (third, "bookworm"), (old, "oldstable")):
        (apt / f"{repository.folder.name}.sources").write_text(
            f"Types: deb\nURIs: copy:{repository.folder}\nSuites: {suite}\nComponents: main\nTrusted: yes\n"
        )
    (apt / "gone.list").write_text(f"deb [trusted=yes] copy:{tmp_path}/gone bookworm main\n")
    assert get("wanted") == {"wanted": "1.0"}


def test_a_release_known_by_its_role(apt: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "debian")
    repository.add("wanted", "1.0")
    repository.publish("oldstable", code_name="bookworm")
    (apt / "a.list").write_text(f"deb [trusted=yes] copy:{repository.folder} oldstable main\n")
    assert get("wanted") == {"wanted": "1.0"}


def test_a_host_without_debian_is_told_what_to_do(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt / "ubuntu.list").write_text("deb http://127.0.0.1:9/ubuntu jammy main\n")
    with pytest.raises(HostError, match="no apt source of this machine has Debian bookworm") as caught:
        get("wanted")
    assert "Debian's own mirror" in caught.value.hint and mirrors.MIRROR_VARIABLE in caught.value.hint
    assert caught.value.hint.endswith("apt-get install -y --no-install-recommends debian-archive-keyring debootstrap")
    monkeypatch.setenv(mirrors.MIRROR_VARIABLE, f"copy:{tmp_path}/debian")
    with pytest.raises(HostError, match="no keyring") as caught:
        get("wanted")
    assert caught.value.hint.endswith("apt-get install -y --no-install-recommends debian-archive-keyring")


@pytest.mark.slow
def test_a_mirror_that_does_not_answer_is_named(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_keyring(monkeypatch, Path(__file__))
    monkeypatch.setenv(mirrors.MIRROR_VARIABLE, "http://127.0.0.1:9/debian/")
    with pytest.raises(HostError, match=r"http://127\.0\.0\.1:9/debian/ cannot be reached"):
        get("wanted")


def test_a_package_that_does_not_exist_is_named(apt: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "debian")
    repository.add("other", "1.0")
    repository.publish("bookworm")
    (apt / "a.list").write_text(f"deb [trusted=yes] copy:{repository.folder} bookworm main\n")
    with pytest.raises(HostError, match="apt cannot fetch") as caught:
        get("wanted")
    assert "wanted" in caught.value.why


def test_unpacking_merges_into_usr_and_leaves_out(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "debian")
    repository.add("one", "1.0", files={"bin/tool": "tool", "usr/bin/other": "other", "lib/x/y": "y"})
    package = Package(name="one", version="1.0", path=repository.folder / "pool/one_1.0.deb")
    root = tmp_path / "root"
    unpack([package], root, leave_out=("usr/share/doc",))
    assert (root / "bin").is_symlink() and (root / "usr/bin/tool").read_text() == "tool"
    assert (root / "usr/lib/x/y").read_text() == "y"
    assert list((root / "usr/share/doc").iterdir()) == []


def test_a_damaged_package_is_named_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "one.deb"
    path.write_bytes(b"!<arch>\nnonsense")
    with pytest.raises(HostError, match=r"one\.deb cannot be unpacked"):
        unpack([Package(name="one", version="1", path=path)], tmp_path / "root", leave_out=())
    assert not path.exists()


@pytest.mark.slow
def test_a_program_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tools/dpkg-deb"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/number\nexec >&-\nexec sleep 600\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    package = Package(name="one", version="1", path=tmp_path / "one.deb")
    with pytest.raises(HostError, match=r"one\.deb cannot be unpacked") as caught:
        unpack([package], tmp_path / "root", leave_out=())
    assert caught.value.why == "dpkg-deb did not end"
    assert not Path("/proc", (tmp_path / "number").read_text().strip()).exists()
