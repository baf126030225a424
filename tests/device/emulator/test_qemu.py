"""The life of the process, with a stand-in for QEMU; the real one is in tests/emulated."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from edgedeploy.device.emulator import qemu
from edgedeploy.foundation.errors import BoardError, BusyError, UnsupportedError
from edgedeploy.targets.load import load_target, target_names

TARGET = load_target("rpi4")
assert TARGET.emulation is not None
EMULATION = TARGET.emulation

# Takes what QEMU is given: goes into the background with the inherited lock, listens on the inherited console, ends on
# a «poweroff» unless its folder says that it is stuck, refuses the ports that its folder says are taken.
STAND_IN = """\
import os, re, socket, sys
words = " ".join(sys.argv)
folder = os.path.dirname(sys.argv[sys.argv.index("-pidfile") + 1])
port = re.search(r"hostfwd=tcp:127.0.0.1:(\\d+)-", words)[1]
taken = os.path.join(folder, "taken")
if os.path.exists(taken):
    os.unlink(taken)
    sys.exit("qemu: Could not set up host forwarding rule 'tcp:127.0.0.1:%s-:22'" % port)
if os.path.exists(os.path.join(folder, "refuse")):
    sys.exit("qemu: no such machine")
if child := os.fork():
    with open(os.path.join(folder, "qemu.pid"), "w") as file:
        file.write("%d\\n" % child)
    os._exit(0)
null = os.open(os.devnull, os.O_RDWR)
for handle in (0, 1, 2):
    os.dup2(null, handle)
listener = socket.socket(fileno=int(re.search(r"id=console,fd=(\\d+)", words)[1]))
while True:
    console, _ = listener.accept()
    if console.recv(100) == b"poweroff\\n" and not os.path.exists(os.path.join(folder, "stuck")):
        console.sendall(b"going down" * 10000)
        break
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Longer than the address of a Unix socket may be, and with what QEMU takes for a separator.
    folder = tmp_path / ("long, " * 20).strip()
    folder.mkdir()
    program = tmp_path / "qemu-system-stand-in"
    program.write_text(f"#!{sys.executable} -I\n{STAND_IN}")
    program.chmod(0o755)
    monkeypatch.setattr(qemu, "find", lambda _: str(program))
    yield folder
    qemu.cut_power(folder)


def start(folder: Path, port: int | None = None) -> int:
    return qemu.start(TARGET, EMULATION, folder, kernel=Path("/kernel"), port=port)


def test_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    words = qemu.command_line("qemu", EMULATION, folder, kernel=Path("/k"), port=2222, console=7)
    options = dict(zip(words[1::2], words[2::2], strict=False))
    assert options["-cpu"] == "cortex-a72"
    assert words[words.index("-smp") + 1] == str(EMULATION.cores)
    assert words[words.index("-m") + 1] == str(EMULATION.memory_mb)
    network = words[words.index("-netdev") + 1]
    assert "restrict=on" in network and "hostfwd=tcp:127.0.0.1:2222-:22" in network
    assert f"{tmp_path}/a,,b/disk.ext4" in words[words.index("-drive") + 1]
    assert "cryptomgr.notests" in words[words.index("-append") + 1].split()
    assert "fd=7" in words[words.index("-chardev") + 1]
    assert "-icount" not in words


def test_a_counting_board_has_one_core_and_a_nanosecond_an_instruction(tmp_path: Path) -> None:
    words = qemu.command_line("qemu", EMULATION, tmp_path, kernel=Path("/k"), port=2222, console=7, counting=True)
    assert words[words.index("-smp") + 1] == "1"
    assert words[words.index("-icount") + 1].startswith("shift=0,")
    assert words[words.index("-accel") + 1] == "tcg,thread=single"
    assert len([word for word in words if word in ("-smp", "-accel")]) == 2


@pytest.mark.slow
def test_on_and_off(folder: Path) -> None:
    assert not qemu.is_on(folder)
    assert qemu.process_id(folder) is None
    port = start(folder)
    pid = qemu.process_id(folder)
    assert qemu.is_on(folder) and pid is not None and pid != os.getpid()
    with pytest.raises(BusyError, match="is on already"):
        start(folder)
    assert qemu.power_off(folder, timeout_s=30.0)
    assert not qemu.is_on(folder)
    assert start(folder, port) == port


def test_it_lives_on_in_a_session_of_its_own(folder: Path) -> None:
    start(folder)
    pid = qemu.process_id(folder)
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgrp()  # so that a Ctrl-C in the terminal does not reach it


def test_power_is_cut(folder: Path) -> None:
    (folder / "stuck").touch()
    start(folder)
    assert not qemu.power_off(folder, timeout_s=0.3)
    assert qemu.is_on(folder)
    assert qemu.cut_power(folder)
    assert not qemu.is_on(folder)
    assert not qemu.cut_power(folder)


def test_a_lost_pid_file_does_not_matter(folder: Path) -> None:
    start(folder)
    pid = qemu.process_id(folder)
    (folder / "qemu.pid").unlink()
    assert qemu.process_id(folder) == pid
    assert qemu.cut_power(folder)


def test_another_process_with_its_number_is_left_alone(folder: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (folder / "qemu.pid").write_text(f"{stranger.pid}\n")
        (folder / "power.lock").touch()
        assert not qemu.is_on(folder)
        assert qemu.process_id(folder) is None
        assert not qemu.cut_power(folder)
        start(folder)
        (folder / "qemu.pid").write_text(f"{stranger.pid}\n")
        assert qemu.cut_power(folder)
        # Whichever signal came first ended it.
        stranger.terminate()
        assert stranger.wait(60.0) == -signal.SIGTERM
    finally:
        stranger.kill()
        stranger.wait()


def test_one_that_cannot_be_seen_is_not_taken_for_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(folder)
    with monkeypatch.context() as patch:
        patch.setattr(qemu, "process_id", lambda _: None)
        with pytest.raises(BusyError, match="cannot be ended"):
            qemu.cut_power(folder, timeout_s=0.1)
    assert qemu.is_on(folder)


def test_a_port_that_is_taken_at_the_last_moment(folder: Path) -> None:
    (folder / "taken").touch()
    assert start(folder) > 0
    assert qemu.is_on(folder)


def test_a_wanted_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert start(folder, server.getsockname()[1]) != server.getsockname()[1]


def test_its_own_words_when_it_does_not_start(folder: Path) -> None:
    (folder / "refuse").touch()
    with pytest.raises(BoardError, match="does not start") as caught:
        start(folder)
    assert "no such machine" in caught.value.why
    assert not qemu.is_on(folder)


def test_an_interrupt_while_it_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def interrupted(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)  # type: ignore[call-overload]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(qemu.subprocess, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start(folder)
    # The caller cuts the power without having been told anything.
    assert qemu.cut_power(folder)
    assert not qemu.is_on(folder)


def test_the_emulator_is_the_kernel_s() -> None:
    for name, emulator in {
        "rpi5": "qemu-system-aarch64",
        "rpi2": "qemu-system-arm",
        "rpi4-32": "qemu-system-aarch64",  # a 32-bit system on a 64-bit kernel
    }.items():
        target = load_target(name)
        assert target.emulation is not None
        assert qemu.program(target, target.emulation) == emulator


def test_each_board_is_of_its_core_and_of_a_size_that_is_sold(tmp_path: Path) -> None:
    cores = {}
    for name in target_names():
        target = load_target(name)
        emulation = target.emulation
        if emulation is None:
            continue
        words = qemu.command_line("qemu", emulation, tmp_path, kernel=Path("/k"), port=2222, console=7)
        core = cores[name] = words[words.index("-cpu") + 1]
        assert core == target.cpu.core or target.cpu.core.startswith("generic"), name
        assert emulation.memory_mb in target.memory_mb, name
        assert emulation.debian_architecture == {"aarch64": "arm64", "armv7l": "armhf"}[target.architecture], name
        # A kernel of 32 bits sees no device that lies above its addresses.
        assert ("highmem=off" in words[words.index("-machine") + 1]) == (
            emulation.kernel_package == "linux-image-armmp"
        )
    assert set(target_names()) - set(cores) == {"rpi-zero", "x86-64"}
    assert {cores["rpi3"], cores["rpi4"], cores["rpi5"]} == {"cortex-a53", "cortex-a72", "cortex-a76"}
    assert cores["generic-armv7"].endswith(",neon=off")


def test_architectures_without_emulation_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="armel"):
        qemu.program(TARGET, structs.replace(EMULATION, debian_architecture="armel"))


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "QEMU 7.2.22"),
        ("QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1.10)", "QEMU 8.2.2"),
        ("something else 1.0", None),
    ],
)
def test_its_version_is_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, version: str | None
) -> None:
    program = tmp_path / "qemu-system-aarch64"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert qemu.version("qemu-system-aarch64") == version
