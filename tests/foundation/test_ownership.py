"""What other users can change or read is not trusted."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from edgedeploy.cli.crash import crash_message
from edgedeploy.device.emulator.state import board_folder
from edgedeploy.foundation.errors import HostError, InvalidFileError
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.ownership import require_own_file, require_own_folder, require_secret_file

OTHER = 12345
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="giving a file away needs root")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
def test_folder_that_others_can_write(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(HostError, match="can be written by other users") as caught:
        require_own_folder(folder)
    assert caught.value.hint == f"chmod go-w '{folder}'"
    subprocess.run(["sh", "-c", caught.value.hint], check=True)
    assert require_own_folder(folder) == folder


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o1777])
def test_folder_that_they_cannot(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert require_own_folder(folder) == folder


def test_what_is_not_there_is_nobodys(tmp_path: Path) -> None:
    require_own_folder(tmp_path / "none")
    require_own_file(tmp_path / "none/none")
    require_secret_file(tmp_path / "none")


@needs_root
def test_groups(tmp_path: Path) -> None:
    """A group that only this user is in is nobody else; another one is others."""
    tmp_path.chmod(0o775)
    require_own_folder(tmp_path)
    os.chown(tmp_path, 0, OTHER)
    with pytest.raises(HostError, match="can be written by other users"):
        require_own_folder(tmp_path)


@needs_root
def test_of_another_user(tmp_path: Path) -> None:
    os.chown(tmp_path, OTHER, OTHER)
    with pytest.raises(HostError, match="belongs to another user") as caught:
        require_own_folder(tmp_path)
    assert caught.value.hint == shlex.join(["chown", "-R", "root", str(tmp_path)])
    assert str(OTHER) in caught.value.why


def test_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    require_own_folder(tmp_path / "link")
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(HostError):
        require_own_folder(tmp_path / "link")


def test_cache_and_boards() -> None:
    folder = cache_folder()
    (folder / "boards/mine").mkdir(parents=True)
    assert board_folder("mine") == folder / "boards/mine"
    for place in (folder / "boards/mine", folder / "boards", folder):
        place.chmod(0o777)
        with pytest.raises(HostError, match="can be written by other users"):
            board_folder("mine")
        place.chmod(0o755)
    folder.chmod(0o777)
    # What was meant to be said is said even so.
    assert "could not be written down" in crash_message(ValueError("x"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o622])
def test_private_key_that_others_can_read(tmp_path: Path, mode: int) -> None:
    key = tmp_path / "key"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    key.chmod(mode)
    with pytest.raises(InvalidFileError, match=r"can read the private key") as caught:
        require_secret_file(key)
    assert caught.value.hint == f"chmod 600 {key}"
    subprocess.run(["sh", "-c", caught.value.hint], check=True)
    require_secret_file(key)


def test_public_key_may_be_read(tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAA me\n")
    require_secret_file(key)
