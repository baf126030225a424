from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from edgedeploy.cli.main import cli
from edgedeploy.device.emulator import board
from edgedeploy.device.emulator.files import BOARD_FILES
from edgedeploy.device.emulator.state import BoardState, board_folder, write_state
from edgedeploy.foundation.errors import DeviceError, UnknownNameError

STATE = BoardState(target="rpi4", image="ab", disk_mb=2048, phase="up", port=2222, boot_s=3.21)


def invoke(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["board", *words], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value, result.output


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board `one` that looks as if it were up."""
    folder = board_folder("one")
    folder.mkdir(parents=True)
    for name in BOARD_FILES:
        (folder / name).touch()
    write_state(folder, STATE)
    monkeypatch.setattr(board.qemu, "is_on", lambda _: True)
    return folder


def test_status_and_list(one: Path) -> None:
    assert invoke("status", "rpi4")[0] == 1
    code, said = invoke("status", "one")
    assert code == 0 and "board:one" in said and "2222" in said
    code, said = invoke("list", "--json")
    assert code == 0
    (row,) = json.loads(said)
    assert list(row) == [
        *("name", "address", "target", "os", "counting", "minimal", "state", "port", "pid", "boot_s"),
        *("kvm", "disk_mb", "image", "folder"),
    ]
    assert (row["state"], row["port"], row["boot_s"]) == ("up", 2222, 3.21)
    assert "counts" not in said
    write_state(one, structs.replace(STATE, counting=True))
    assert "up, counts" in invoke("list")[1]
    assert "minimal" not in invoke("status", "one")[1]
    write_state(one, structs.replace(STATE, minimal=True))
    assert "rpi4, minimal" in invoke("status", "one")[1]
    write_state(one, structs.replace(STATE, kvm=True))
    assert "up, by KVM" in " ".join(invoke("status", "one")[1].split())


def test_down_of_what_is_not_up() -> None:
    assert invoke("down") == (0, "board:rpi4 was not up\n")
    assert json.loads(invoke("down", "--json")[1])["was_on"] is False
    assert json.loads(invoke("down", "--all", "--json")[1]) == []
    with pytest.raises(Exception, match="cannot be combined"):
        invoke("down", "--all", "rpi4")
    with pytest.raises(UnknownNameError):
        invoke("down", "nosuch")


def test_ssh_hands_over_to_the_system_s(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(_: str, line: list[str]) -> None:
        ran.append(line)

    monkeypatch.setattr(os, "execv", run)
    invoke("ssh", "one", "--", "ls", "-l")
    invoke("ssh", "one")
    with_command, without = ran
    assert with_command[-4:] == ["edge@127.0.0.1", "--", "ls", "-l"]
    assert without[-1] == "edge@127.0.0.1"
    assert "StrictHostKeyChecking=yes" in without and str(one / "id_ed25519") in without
    assert json.loads(invoke("ssh", "--json", "one", "ls")[1])["command"][-2:] == ["--", "ls"]
    with pytest.raises(DeviceError, match="not up"):
        invoke("ssh")
