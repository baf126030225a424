from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from edgedeploy.foundation import files
from edgedeploy.foundation.errors import HostError, InvalidFileError

# Root may write everywhere, so what takes its right to write away is a file in the place of a folder.


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty folder; the home of the test lies beside it."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_with_the_users_mask(work):
    path = work / "new" / "file"
    mask = os.umask(0o027)
    try:
        files.write_bytes(path, b"one")
        files.write_bytes(path, b"two")
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_file_stays_as_it_was_when_writing_fails(work, failure):
    path = work / "file"
    path.write_bytes(b"old")
    with pytest.raises(failure), files.replacing_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert names(work) == ["file"]


def test_a_place_that_cannot_be_written_is_said(work):
    (work / "file").write_bytes(b"")
    (work / "folder").mkdir()
    for path in (work / "file" / "below", work / "folder"):
        with pytest.raises(HostError, match="cannot be written"):
            files.write_bytes(path, b"x")
    with pytest.raises(HostError, match="cannot be written"), files.replacing_folder(work / "file"):
        pass
    assert names(work) == ["file", "folder"]


def test_a_full_disk_is_said_and_leaves_nothing(work, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="cannot be written") as caught:
        files.write_bytes(work / "file", b"x")
    assert caught.value.why == "No space left on device"
    with pytest.raises(HostError), files.replacing_folder(work / "folder") as folder:
        (folder / "x").write_bytes(b"x")
    assert names(work) == []


def test_a_folder_is_replaced_whole(work):
    path = work / "new" / "folder"
    for content in ("one", "two"):
        with files.replacing_folder(path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / content).write_text(content)
    assert names(path / "sub") == ["two"]
    assert names(path.parent) == ["folder"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o700 == 0o700


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_folder_stays_as_it_was_when_filling_fails(work, failure):
    path = work / "folder"
    path.mkdir()
    (path / "old").write_bytes(b"")
    with pytest.raises(failure), files.replacing_folder(path) as folder:
        (folder / "half").write_bytes(b"")
        raise failure
    assert names(path) == ["old"]
    assert names(work) == ["folder"]


def test_an_error_of_the_block_is_not_taken_for_an_error_of_the_place(work):
    """Reading another file fails inside the block: the place to be written is not to blame."""
    missing = work / "missing"
    with pytest.raises(FileNotFoundError), files.replacing_file(work / "file"):
        missing.read_bytes()
    with pytest.raises(FileNotFoundError), files.replacing_folder(work / "folder"):
        missing.read_bytes()
    assert names(work) == []


def test_the_hash_of_a_file(work):
    (work / "file").write_bytes(b"x" * 3_000_000)
    assert files.sha256_file(work / "file") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert b"".join(files.read_chunks(work / "file")) == b"x" * 3_000_000
    for read in (files.sha256_file, lambda path: list(files.read_chunks(path))):
        with pytest.raises(InvalidFileError, match="does not exist"):
            read(work / "none")
        with pytest.raises(InvalidFileError, match="is a folder"):
            read(work)


def test_folders_of_the_user_follow_xdg(work, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert files.cache_folder() == Path("/somewhere/cache/edgedeploy")
    assert files.config_folder() == Path.home() / ".config/edgedeploy"


def test_what_is_no_ordinary_file_is_not_replaced(work):
    os.mkfifo(work / "pipe")
    with pytest.raises(HostError) as caught:
        files.write_bytes(work / "pipe", b"x")
    assert "a device or a pipe" in caught.value.why
    assert (work / "pipe").is_fifo() and [path.name for path in work.iterdir()] == ["pipe"]
