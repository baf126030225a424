"""Images as files: what is exported is what is imported, and nothing else is taken."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from pathlib import Path

import msgspec
import pytest

from edgedeploy.device.emulator import image
from edgedeploy.device.emulator.image import image_digest, image_folder, named_folder
from edgedeploy.device.emulator.image_exchange import board_export, board_import
from edgedeploy.device.emulator.image_file import IMAGE_FILES
from edgedeploy.device.emulator.state import BoardState, board_folder, write_state
from edgedeploy.device.emulator.systems import emulation_with
from edgedeploy.foundation.errors import EdgedeployError, IntegrityError, InvalidFileError, UnknownNameError
from edgedeploy.targets.load import load_target

_HOLE = 8 << 20


def make_image(release: str = "bookworm", *, minimal: bool = False) -> Path:
    """Make the image of an rpi4, with a hole in its disk."""
    folder = named_folder(image_digest(emulation_with(load_target("rpi4"), release), minimal=minimal))
    folder.mkdir(parents=True)
    for name in IMAGE_FILES:
        (folder / name).write_bytes(f"{release} {name}".encode())
    with (folder / "disk.ext4").open("ab") as disk:
        disk.seek(_HOLE)
        disk.write(b"end" + bytes(4096))
    return folder


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file with the image of an rpi4 of bookworm, which this machine then has no more."""
    folder = make_image()
    board_export("rpi4", tmp_path / "rpi4.board", os="bookworm")
    folder.rename(tmp_path / "original")
    return tmp_path / "rpi4.board"


def test_what_was_exported_is_imported(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = board_import(exported)
    assert (taken.os, taken.architecture, taken.minimal) == ("bookworm", "arm64", False)
    assert {"rpi4", "rpi5"} <= set(taken.targets) and "rpi2" not in taken.targets
    assert taken.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
    monkeypatch.setattr(image, "build_image", None)  # none is built
    folder = image_folder(emulation_with(load_target("rpi4"), "bookworm"))
    assert folder.name == taken.image
    for name in IMAGE_FILES:
        assert (folder / name).read_bytes() == (exported.parent / "original" / name).read_bytes()
    assert (folder / "disk.ext4").stat().st_blocks * 512 < _HOLE / 2


def test_the_same_image_is_the_same_file(exported: Path) -> None:
    board_import(exported)
    again = board_export("rpi4", exported.with_name("again"), os="bookworm")
    assert Path(again.path).read_bytes() == exported.read_bytes()


def test_a_board_s_own_image_is_exported(tmp_path: Path) -> None:
    make_image("trixie", minimal=True)
    board_folder("one").mkdir(parents=True)
    state = BoardState(target="rpi4", image="", os="trixie", minimal=True, disk_mb=2048)
    write_state(board_folder("one"), state)
    written = board_export("one", tmp_path / "one.board")
    assert (written.os, written.minimal) == ("trixie", True)
    with pytest.raises(UnknownNameError, match="no board 'two'"):
        board_export("two", tmp_path / "two.board")
    with pytest.raises(UnknownNameError, match="cannot have the system 'sid'"):
        board_export("one", tmp_path / "one.board", os="sid")


def test_an_imported_image_does_not_grow_old(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = named_folder(board_import(exported).image)
    other = make_image("trixie")
    for folder in (old, other):
        os.utime(folder, (0, time.time() - 1e7))
    image._forget_unused(old.parent)
    assert old.is_dir() and not other.exists()


@pytest.mark.parametrize("size_bytes", [0, 1, 10, 100, 300, -1, -4, -9])
def test_a_file_that_is_cut_off_is_not_taken(exported: Path, size_bytes: int) -> None:
    exported.write_bytes(exported.read_bytes()[:size_bytes])
    with pytest.raises((InvalidFileError, IntegrityError)):
        board_import(exported)
    assert not list(named_folder("0" * 64).parent.glob("[0-9a-f]*"))


def repack(path: Path, change: str, *, content: bytes | None = None) -> None:
    """Change the header of a file, by Python's code for `header`; or append to its content."""
    line, _, rest = gzip.decompress(path.read_bytes()).partition(b"\n")
    header = msgspec.json.decode(line)
    exec(change, {"header": header})
    path.write_bytes(gzip.compress(msgspec.json.encode(header) + b"\n" + rest + (content or b"")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("header['files'][0]['sha256'] = '0' * 64", "SHA-256 of its kernel"),
        ("header['files'][3]['size_bytes'] -= 1", "SHA-256 of its disk"),
        ("header['files'][3]['size_bytes'] += 1", "ends in the middle of its disk"),
        ("header['files'][3]['size_bytes'] = 1 << 50", "no image of a board"),
        ("header['files'][0]['size_bytes'] = 1 << 30", "no image of a board"),
        ("header['files'][0]['size_bytes'] = -1", "no image of a board"),
        ("header['files'][0]['name'] = '../../kernel'", "no image of a board"),
        ("header['files'].append(header['files'][0])", "no image of a board"),
        ("header['format'] = 'edgedeploy-board-image-2'", "no image of a board"),
        ("header['image'] = '../' * 10", "no image of a board"),
        ("header['image'] = '0' * 64", "no target's board is made from"),
        ("header['os'] = 'trixie'", "no target's board is made from"),
        ("header['padding'] = 'x' * 100_000", "no image of a board"),
    ],
)
def test_a_file_that_is_not_as_its_header_says_is_not_taken(exported: Path, change: str, message: str) -> None:
    repack(exported, change)
    with pytest.raises(EdgedeployError, match=message):
        board_import(exported)
    assert not list(named_folder("0" * 64).parent.glob("[0-9a-f]*"))


def test_what_follows_the_end_is_not_taken(exported: Path) -> None:
    repack(exported, "", content=b"x")
    with pytest.raises(IntegrityError, match="is damaged"):
        board_import(exported)


def test_an_image_that_is_there_survives_a_file_that_is_damaged(exported: Path) -> None:
    folder = named_folder(board_import(exported).image)
    repack(exported, "header['files'][2]['sha256'] = '0' * 64")
    with pytest.raises(IntegrityError):
        board_import(exported)
    assert (folder / "kernel").read_bytes() == b"bookworm kernel"


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image")
    for name in ("text", "missing", "."):
        with pytest.raises(InvalidFileError):
            board_import(tmp_path / name)
