"""Real file systems, made by the real tools: small ones take a tenth of a second."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgedeploy.device.emulator.disk import copy_disk, make_disk, refuse_small_disk, repair_disk
from edgedeploy.foundation.errors import BoardError, HostError, UnsupportedError
from edgedeploy.foundation.programs import find, run


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "home/edge").mkdir(parents=True)
    (root / "home/edge/a file").write_text("mine")
    (root / "etc").mkdir()
    (root / "etc/plain").write_text("root's")
    (root / 'etc/with "quotes" and spaces').write_text("root's")
    (root / "etc/link").symlink_to("/home/edge")
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, 4321, 4321, follow_symlinks=False)
    path = tmp_path / "disk.ext4"
    make_disk(root, path, home="/home/edge", home_uid=1000)
    return path


def owner(disk: Path, place: str) -> str:
    said = run("debugfs", "-R", f"stat {place}", str(disk))
    return next(line for line in said.splitlines() if "User:" in line).split("User:")[1].split()[0]


@pytest.mark.slow
def test_files_have_the_board_s_owners_whoever_builds(disk: Path) -> None:
    for place in ("/", "/etc", "/etc/plain", "/etc/link", "/home"):
        assert owner(disk, place) == "0", place
    assert owner(disk, "/home/edge") == "1000"
    assert owner(disk, '"/home/edge/a file"') == "1000"
    assert not repair_disk(disk)


def test_a_copy_is_sparse_and_grows(disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ext4"
    copy_disk(disk, copy, 512)
    assert copy.stat().st_size == 512 << 20
    assert copy.stat().st_blocks * 512 < 64 << 20
    assert "root's" in run("debugfs", "-R", "cat /etc/plain", str(copy))
    assert not repair_disk(copy)
    with pytest.raises(UnsupportedError, match="cannot be as small as 5 MiB"):
        refuse_small_disk(disk, 5)


@pytest.mark.slow
def test_a_damaged_disk_is_mended_or_refused(disk: Path) -> None:
    subprocess.run([find("debugfs"), "-w", "-R", "clri /etc/plain", str(disk)], check=True, capture_output=True)
    subprocess.run([find("debugfs"), "-w", "-R", "ssv state 0", str(disk)], check=True, capture_output=True)
    assert repair_disk(disk)
    assert not repair_disk(disk)
    disk.write_bytes(b"\0" * disk.stat().st_size)
    with pytest.raises(BoardError, match="beyond repair") as caught:
        repair_disk(disk)
    assert "--delete" in caught.value.hint


def test_no_room_is_said(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError):
        copy_disk(disk, tmp_path / "no such folder" / "disk", 64)
