"""What only a real board can show. Each boot takes seconds: few boots, much asked of each."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
from support.heard import Heard

from edgedeploy.device.address import connect
from edgedeploy.device.emulator import boot as boot_module
from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.board import (
    BoardStatus,
    board_access,
    board_down,
    board_kill,
    board_status,
    board_up,
    emulated_board,
)
from edgedeploy.device.emulator.disk import repair_disk
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.foundation.errors import AuthenticationError, BoardError, DeviceError, UnsupportedError

pytestmark = pytest.mark.emulated


def output(address: str, command: str) -> str:
    with connect(address) as connection:
        completed = connection.run(["sh", "-c", command])
    assert completed.exit_status == 0, completed.stderr
    return completed.stdout.decode().strip()


def test_it_is_the_machine_that_was_asked_for(board: BoardStatus) -> None:
    said = output(
        board.address,
        "uname -m; id -un; nproc; . /etc/os-release; echo $VERSION_CODENAME; date +%s; stat -c %U:%a ~ / /usr/bin/env",
    )
    machine, user, cores, release, clock, *owners = said.splitlines()
    assert (machine, user, cores, release) == ("aarch64", "edge", "2", "bookworm")
    assert owners == ["edge:755", "root:755", "root:755"]
    assert abs(int(clock) - time.time()) < 300


def test_python_is_whole_and_its_library_compiled(board: BoardStatus) -> None:
    code = (
        "import ctypes, decimal, hashlib, json, lzma, multiprocessing, sqlite3, ssl, zoneinfo; print(json.__cached__)"
    )
    assert output(board.address, f'ls "$(python3 -c "{code}")"').endswith(".pyc")


def test_nothing_outside_can_be_reached(board: BoardStatus) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket; socket.create_connection(('10.0.2.2', {server.getsockname()[1]}), timeout=10)"
        with connect(board.address) as connection:
            assert connection.run(["python3", "-c", reach]).exit_status != 0


def test_only_its_own_host_key_will_do(board: BoardStatus) -> None:
    known_hosts = board_access(board.name).known_hosts_path
    right = known_hosts.read_bytes()
    other = new_key_pair().public.split()[1].encode()
    try:
        known_hosts.write_bytes(right.rpartition(b" ")[0] + b" " + other + b"\n")
        with pytest.raises(AuthenticationError):
            connect(board.address)
    finally:
        known_hosts.write_bytes(right)
    assert output(board.address, "echo here") == "here"


def test_a_second_up_does_nothing(board: BoardStatus) -> None:
    heard = Heard()
    pid = board_status(board.name).pid  # not the fixture's: a test before may have cut the power and booted it again
    assert pid is not None
    assert board_up(board.name, progress=heard).pid == board_status(board.name).pid == pid
    assert heard.steps == heard.notes == []
    with pytest.raises(UnsupportedError, match="another disk"):
        board_up(board.name, disk_mb=4096)


def test_ten_logins_at_once(board: BoardStatus) -> None:
    said: list[str] = []
    threads = [threading.Thread(target=lambda n=n: said.append(output(board.address, f"echo {n}"))) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted(map(str, range(10)))


def test_a_disk_is_repaired_after_a_power_cut(board: BoardStatus) -> None:
    output(board.address, "echo kept > kept; sync; (while :; do echo $RANDOM >> churn; sync; done) >/dev/null 2>&1 &")
    assert board_kill(board.name)
    assert board_status(board.name).state == "crashed"
    with pytest.raises(DeviceError, match="not up"):
        connect(board.address)
    assert not board_kill(board.name)

    heard = Heard()
    assert board_up(board.name, progress=heard).state == "up"
    assert heard.steps == [f"booting {board.name}"]
    # Another process of the tests may build an image at the same time, which is a note too.
    assert "its file system was repaired" in heard.notes
    assert output(board.address, "cat kept; rm -f kept churn") == "kept"


def test_a_second_board_beside_it(board: BoardStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{board.name}-2"
    with emulated_board(name, target="rpi4", minimal=True, disk_mb=300, delete=True) as second:
        assert output(second.address, "hostname") == name
        assert output(board.address, "hostname") == board.name
        assert board_access(name).port != board_access(board.name).port
        assert Path(second.folder, "host_key.pub").read_text() != Path(board.folder, "host_key.pub").read_text()

        # A disk that is full to the last byte neither keeps it from shutting down nor locks us out.
        output(second.address, "cat /dev/zero > big || true; ! echo more > more 2>/dev/null")
        stop = board_down(name)
        assert (stop.was_on, stop.orderly) == (True, True)
        assert not repair_disk(Path(second.folder, "disk.ext4"))
        assert ends(second.pid)
        assert not board_down(name).was_on

        # An interrupted boot leaves no process, and is nothing that the next one stumbles over.
        with monkeypatch.context() as patch:
            patch.setattr(boot_module, "wait_for_login", interrupted)
            with pytest.raises(KeyboardInterrupt):
                board_up(name)
        assert qemu.process_id(Path(second.folder)) is None
        assert board_status(name).state == "down"

        # One that cannot boot says what it said last.
        with monkeypatch.context() as patch:
            patch.setattr(boot_module, "write_initramfs", lambda *_: Path(second.folder, "initramfs").write_bytes(b""))
            with pytest.raises(BoardError, match="ended while it booted") as caught:
                board_up(name)
        assert "Unable to mount root fs" in caught.value.why

        assert board_up(name).state == "up"
        assert output(second.address, "rm big; echo more > more; cat more") == "more"
        last = board_status(name).pid
    assert ends(last)
    assert not Path(second.folder).exists()
    assert output(board.address, "echo still here") == "still here"


def ends(pid: int | None) -> bool:
    """Whether a process has ended; it may be some instants until it is gone from the process table."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return pid is not None
        time.sleep(0.05)
    return False


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt
