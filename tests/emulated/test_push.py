"""Releases on a real board, and what a power cut leaves of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.while_sending import WhileSending

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, list_releases, releases, rollback
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import BoardStatus, board_kill, board_up, emulated_board
from edgedeploy.foundation.errors import DeviceError, UnreachableError

pytestmark = pytest.mark.emulated


@pytest.fixture(scope="module")
def board() -> Iterator[BoardStatus]:
    """A minimal one, which boots in a few seconds: it is a board as any other for what is asked here."""
    with emulated_board(f"pytest-{os.getpid()}-push", target="rpi4", minimal=True, delete=True) as status:
        yield status


@pytest.fixture(autouse=True)
def _empty_store(board: BoardStatus) -> Iterator[None]:
    """The board is shared with other tests: none sees another's releases."""
    for turn in ("before", "after"):
        with connect(board.address) as device:
            assert device.run(["rm", "-rf", ".edgedeploy"]).exit_status == 0
        if turn == "before":
            yield


def is_healthy(device: Connection, path: str) -> bool:
    return device.run([f"{path}/run", "check"]).exit_status == 0


def test_a_power_cut_during_a_push(make_bundle, board: BoardStatus) -> None:
    shared = {"runtime/lib/one.so": os.urandom(200_000), "golden/0000.npz": b"golden"}
    with connect(board.address) as device:
        assert device.emulated
        old = push(make_bundle(files=shared, architecture="aarch64"), device).release
        assert is_healthy(device, old.path)

    weights = {f"weights/{number:02}": os.urandom(1 << 19) for number in range(10)}
    bundle = make_bundle(version="2", files={**shared, **weights}, architecture="aarch64")

    power_cut = WhileSending(7 << 19, lambda: board_kill(board.name))
    with connect(board.address) as device, pytest.raises(UnreachableError, match="lost"):
        push(bundle, device, progress=power_cut)

    board_up(board.name)
    with connect(board.address) as device:
        assert list_releases(device).damaged == ()
        assert releases(device) == (old,)
        assert current_release(device) == old
        assert broken_files(device, old) == ""
        assert is_healthy(device, old.path)

        result = push(bundle, device)
        assert (result.activated, result.release.parent) == (True, old.id)
        # The old release's contents are not sent again; nor is what the board's kernel had written out before the cut,
        # which is more the slower the board is.
        assert result.kept_files >= 3
        assert result.sent_files + result.kept_files == len({entry.sha256 for entry in bundle.manifest.files}) + 1
        assert result.sent_bytes + result.resumed_bytes <= bundle.size_bytes - 200_000
        assert broken_files(device, result.release) == ""
        assert push(bundle, device).sent_bytes == 0
        assert device.run(["ls", ".edgedeploy/staging"]).stdout == b""

        assert rollback(device).id == old.id
        assert is_healthy(device, current_release(device).path)
        with pytest.raises(DeviceError, match="no release before"):
            rollback(device)


def test_a_release_survives_a_power_cut_right_after_the_switch(make_bundle, board: BoardStatus) -> None:
    bundle = make_bundle(name="other", files={"weights": os.urandom(1 << 20)}, architecture="aarch64")
    with connect(board.address) as device:
        release = push(bundle, device).release
        board_kill(board.name)
    board_up(board.name)
    with connect(board.address) as device:
        assert current_release(device, "other") == release
        assert broken_files(device, release) == ""
        assert is_healthy(device, release.path)


def test_a_bundle_for_another_architecture(make_bundle, board: BoardStatus) -> None:
    with connect(board.address) as device, pytest.raises(DeviceError, match=r"for armv7l, and .* is aarch64"):
        push(make_bundle(name="third", architecture="armv7l"), device)


def test_kill_ends_what_neither_reads_nor_writes(board: BoardStatus) -> None:
    with connect(board.address) as device:
        process = device.start(["sh", "-c", "sleep 1000 & echo $!; wait"])
        sleeper = process.stdout.readline().decode().strip()
        assert device.run(["test", "-d", f"/proc/{sleeper}"]).exit_status == 0
        process.kill()
        gone = 'for _ in $(seq 100); do [ -d "/proc/$1" ] || exit 0; sleep 0.1; done; exit 1'
        assert device.run(["sh", "-c", gone, "sh", sleeper]).exit_status == 0
