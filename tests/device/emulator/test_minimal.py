"""What is kept for a minimal board, of a root with real programs (this machine's own, whatever its architecture)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgedeploy.debian.apt import Package
from edgedeploy.device.emulator import minimal, userland
from edgedeploy.device.emulator.minimal import keep_minimum
from edgedeploy.foundation.errors import BoardError

_FILES = ("etc/debian_version", "usr/lib/os-release", "usr/bin/busybox")
_REMOVED = ("usr/bin/perl", "usr/share/common-licenses/GPL", "etc/skel/.bashrc", "usr/lib/arch/libunneeded.so.1")


def _fill(root: Path) -> None:
    for name in ("usr/sbin", "usr/lib/arch/other", "var/log"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for name in (*_FILES, *_REMOVED):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    shutil.copy("/bin/sh", root / "usr/sbin/sshd")
    for name in (*minimal.LIBRARIES, *minimal.needed_libraries(root / "usr/sbin/sshd")):
        (root / "usr/lib/arch" / f"{name}.real").write_text(name)
        (root / "usr/lib/arch" / name).unlink(missing_ok=True)
        (root / "usr/lib/arch" / name).symlink_to(f"{name}.real")
    (root / "usr/lib/arch/other/libc.so.6").write_text("for another purpose")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Libraries are a few letters here: only the program is asked what it needs."""
    root = tmp_path / "root"
    real = minimal.needed_libraries
    monkeypatch.setattr(minimal, "needed_libraries", lambda path: real(path) if path.name == "sshd" else [])
    _fill(root)
    return root


def test_programs_bring_their_libraries_and_loader() -> None:
    needed = minimal.needed_libraries(Path("/bin/sh").resolve())
    assert "libc.so.6" in needed
    assert any(name.startswith("ld-") for name in needed)


def test_what_is_needed_is_kept_and_nothing_else(root: Path) -> None:
    keep_minimum(root)
    assert all((root / name).is_file() for name in (*_FILES, "usr/sbin/sshd", "etc/os-release"))
    assert not any((root / name).exists() for name in _REMOVED)
    assert (root / "bin").is_symlink()
    libraries = {path.name for path in (root / "usr/lib/arch").iterdir()}
    assert {"libc.so.6", "libc.so.6.real", "libstdc++.so.6", "libgcc_s.so.1"} <= libraries
    assert not (root / "var").exists() and not (root / "usr/share").exists()


def test_what_is_missing_is_named(root: Path) -> None:
    (root / "usr/lib/arch/libstdc++.so.6").unlink()
    with pytest.raises(BoardError) as caught:
        keep_minimum(root)
    assert "libstdc++.so.6 is missing" in caught.value.why
    shutil.rmtree(root)
    _fill(root)
    (root / "usr/bin/busybox").unlink()
    with pytest.raises(BoardError) as caught:
        keep_minimum(root)
    assert "usr/bin/busybox is missing" in caught.value.why


def test_a_minimal_userland(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(packages: object, folder: Path, **_: object) -> None:
        shutil.copytree(root, folder, symlinks=True, dirs_exist_ok=True)

    monkeypatch.setattr(userland, "unpack", unpack)
    new = tmp_path / "new"
    new.mkdir()
    userland.make_minimal_userland([Package(name="a", version="1", path=tmp_path)], new)
    passwd = (new / "etc/passwd").read_text().splitlines()
    assert "edge:*:1000:1000:edge:/home/edge:/bin/sh" in passwd
    for name in ("etc/inittab", "etc/ssh/sshd_config", "etc/edgedeploy/start", "home/edge", "run", "tmp"):
        assert (new / name).exists(), name
    names = {path.name for path in new.rglob("*")}
    assert not {"python3", "bash", ".bashrc"} & names
    # The board links busybox's commands itself.
    assert not (new / "usr/bin/sh").exists()
    assert b"--install -s" in (new / "etc/edgedeploy/start").read_bytes()
