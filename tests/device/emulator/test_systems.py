"""Which release a board can have, and gets."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from msgspec import structs

from edgedeploy.debian.distributions import own_release
from edgedeploy.device.emulator import board, systems
from edgedeploy.device.emulator.board import board_status, board_up
from edgedeploy.device.emulator.files import BOARD_FILES
from edgedeploy.device.emulator.image import image_digest
from edgedeploy.device.emulator.state import BoardState, board_folder, write_state
from edgedeploy.device.emulator.systems import board_systems, default_system, emulation_with, target_with
from edgedeploy.foundation.errors import HostError, UnknownNameError, UnsupportedError
from edgedeploy.targets.load import load_target, target_names


@pytest.mark.parametrize("name", [name for name in target_names() if load_target(name).emulation])
def test_every_emulated_target_has_both_of_debian_s_releases(name: str) -> None:
    assert {"bookworm", "trixie"} <= set(board_systems(load_target(name)))


def test_a_target_s_systems_that_have_no_names_do_not_take_its_board_away() -> None:
    target = load_target("rpi4")
    nameless = structs.replace(target, os=structs.replace(target.os, release=""), other_os=())
    assert board_systems(nameless) == ("bookworm",)
    assert board_systems(load_target("rpi-zero")) == ()


def test_ubuntu_s_releases_need_a_kernel_that_the_target_names() -> None:
    target = load_target("rpi4")
    assert target.emulation is not None
    assert board_systems(target) == ("bookworm", "trixie", "noble")
    unnamed = structs.replace(target, emulation=structs.replace(target.emulation, kernel_packages={}))
    assert board_systems(unnamed) == ("bookworm", "trixie")
    emulation = emulation_with(target, "noble")
    assert (emulation.debian_release, emulation.kernel_package) == ("noble", "linux-image-virtual")


@pytest.mark.parametrize(
    ("own", "board_s"), [("trixie", "trixie"), ("bookworm", "bookworm"), ("noble", "bookworm"), ("", "bookworm")]
)
def test_a_new_board_has_this_machine_s_release(monkeypatch: pytest.MonkeyPatch, own: str, board_s: str) -> None:
    monkeypatch.setattr(systems, "own_release", lambda: own)
    assert default_system(load_target("rpi4")) == board_s
    assert board_status("rpi4").os == board_s


@pytest.mark.parametrize(
    ("facts", "release"),
    [
        ({"ID": "raspbian", "VERSION_CODENAME": "trixie"}, "trixie"),
        ({"ID": "linuxmint", "VERSION_CODENAME": "gigi", "DEBIAN_CODENAME": "trixie"}, "trixie"),
        ({"ID": "arch"}, ""),
    ],
)
def test_this_machine_s_release(monkeypatch: pytest.MonkeyPatch, facts: dict[str, str], release: str) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: facts)
    assert own_release() == release


def test_a_machine_that_is_no_linux_has_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dict[str, str]:
        raise OSError("Unable to read files /etc/os-release, /usr/lib/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", none)
    assert own_release() == ""


def test_an_rpi5_of_trixie_has_the_kernel_with_large_pages() -> None:
    target = load_target("rpi5")
    emulation = emulation_with(target, "trixie")
    assert emulation.kernel_package == "linux-image-arm64-16k"
    assert image_digest(emulation) != image_digest(emulation_with(load_target("rpi4"), "trixie"))
    assert image_digest(emulation_with(target, "bookworm")) == image_digest(
        emulation_with(load_target("rpi4"), "bookworm")
    )


def test_a_release_that_no_such_board_has_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="cannot have the system 'sid'") as caught:
        emulation_with(load_target("rpi4"), "sid")
    assert caught.value.why == "there are: bookworm, trixie, noble"
    with pytest.raises(UnsupportedError, match="no emulated board"):
        emulation_with(load_target("rpi-zero"), "bookworm")
    with pytest.raises(UnknownNameError, match="cannot have the system 'sid'"):
        board_up("new", target="rpi4", os="sid")


def test_what_is_built_for_a_board_is_built_for_its_release() -> None:
    assert target_with("rpi4", "trixie").os.python == "3.13"
    assert target_with("rpi4", "").os == load_target("rpi4").os


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board `one` of trixie, on a machine of bookworm whose tools are all missing."""
    folder = board_folder("one")
    folder.mkdir(parents=True)
    for name in BOARD_FILES:
        (folder / name).touch()
    write_state(folder, BoardState(target="rpi4", image="0123456789abcdef", os="trixie", disk_mb=2048))
    monkeypatch.setattr(systems, "own_release", lambda: "bookworm")

    def missing(*_: str) -> None:
        raise HostError("nothing is installed")

    monkeypatch.setattr(board, "need", missing)
    return folder


def test_another_release_is_another_board(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert board_status("one").os == "trixie"
    for words in ({"os": "trixie"}, {}, {"target": "rpi4:trixie"}):
        with pytest.raises(HostError, match="nothing is installed"):
            board_up("one", **words)
    monkeypatch.setattr(board, "need", lambda *_: None)
    for words in ({"os": "bookworm"}, {"target": "rpi4:bookworm"}):
        with pytest.raises(UnsupportedError, match="another release: trixie, not bookworm"):
            board_up("one", **words)


def test_a_board_that_was_made_when_there_was_but_one_release(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(made, BoardState(target="rpi4", image="0123456789abcdef", disk_mb=2048))
    monkeypatch.setattr(systems, "own_release", lambda: "trixie")
    assert board_status("one").os == "bookworm"
    monkeypatch.setattr(board, "need", lambda *_: None)
    with pytest.raises(UnsupportedError, match="another release: bookworm, not trixie"):
        board_up("one", os="trixie")
