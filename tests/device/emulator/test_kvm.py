"""When KVM runs a board, by what this machine says of itself; no machine of these tests has it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from msgspec import structs

from edgedeploy.device.emulator import boot, kvm, qemu
from edgedeploy.device.emulator.kvm import kvm_refusal
from edgedeploy.device.emulator.state import BoardState
from edgedeploy.foundation.errors import BoardError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.targets.load import load_target
from edgedeploy.values.target import Emulation


def emulation(name: str) -> Emulation:
    found = load_target(name).emulation
    assert found is not None
    return found


@pytest.fixture
def arm_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of Arm's with KVM: its device, a file here."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(kvm, "KVM", device)
    return device


def test_it_needs_the_board_s_own_architecture(arm_host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kvm_refusal(emulation("rpi4")) == ""
    assert "armhf" in kvm_refusal(emulation("rpi2"))
    assert "armhf" in kvm_refusal(emulation("rpi4-32"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert kvm_refusal(emulation("rpi4")) == "this machine is x86_64, and the board's programs are for arm64"


def test_a_counting_board_is_emulated(arm_host: Path) -> None:
    assert "counts instructions" in kvm_refusal(emulation("rpi4"), counting=True)


def test_the_device_must_be_there(arm_host: Path) -> None:
    arm_host.unlink()
    assert kvm_refusal(emulation("rpi4")) == f"{arm_host}: No such file or directory"


def test_the_command_line(tmp_path: Path) -> None:
    words = qemu.command_line("qemu", emulation("rpi5"), tmp_path, kernel=Path("/k"), port=2222, console=7, kvm=True)
    assert words[words.index("-machine") + 1] == "virt,gic-version=host"
    assert words[words.index("-cpu") + 1] == "host"
    assert words[words.index("-accel") + 1] == "kvm" and words.count("-accel") == 1
    assert "-icount" not in words


def test_a_board_that_kvm_does_not_take_is_emulated(
    arm_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def start(*_: object, kvm: bool = False, **__: object) -> int:
        asked.append(kvm)
        if kvm and len(asked) > 1:
            raise BoardError("QEMU does not start", why="ioctl(KVM_CREATE_VM) failed")
        return 2222

    monkeypatch.setattr(qemu, "start", start)
    target = load_target("rpi4")
    state = BoardState(target="rpi4", image="", disk_mb=2048)
    words = (tmp_path, tmp_path / "kernel", target, emulation("rpi4"))
    assert boot._start(*words, state, SILENT) == (2222, True)
    assert boot._start(*words, state, SILENT) == (2222, False)
    assert boot._start(*words, structs.replace(state, counting=True), SILENT) == (2222, False)
    assert asked == [True, True, False, False]
