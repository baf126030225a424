"""Boards of busybox and sshd, of 64 and of 32 bits: they boot, and take releases as any other."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import broken_files, current_release, rollback
from edgedeploy.device.address import connect
from edgedeploy.device.emulator.board import BoardStatus, board_status, emulated_board
from edgedeploy.target.load import load_target
from edgedeploy.target.probe import probe

pytestmark = pytest.mark.emulated


@pytest.fixture(scope="module", params=["rpi4", "rpi2"])
def minimal(request: pytest.FixtureRequest) -> Iterator[BoardStatus]:
    name = f"pytest-{os.getpid()}-{request.param}"
    with emulated_board(name, target=request.param, minimal=True, delete=True) as status:
        yield status


def test_it_is_what_was_asked_for_and_no_more(minimal: BoardStatus) -> None:
    assert minimal.minimal and board_status(minimal.name).minimal
    target = load_target(minimal.target)
    with connect(minimal.address) as device:
        found = probe(device)
        assert device.run(["sh", "-c", "command -v python3 bash perl"]).stdout == b""
        assert device.run(["readlink", "/usr/bin/sh"]).stdout.strip() == b"/usr/bin/busybox"
    assert (found.pythons, found.libc.version, found.machine) == ((), "2.36", target.architecture)
    assert (found.cpu.lower(), found.cores) == (target.cpu.core, 2)
    assert found.fit is not None and found.fit.target == minimal.target


def test_releases_are_pushed_kept_and_taken_back(make_bundle, minimal: BoardStatus) -> None:
    architecture = load_target(minimal.target).architecture
    weights = {"weights": os.urandom(1 << 20), "runtime/lib/one.so": b"one"}
    with connect(minimal.address) as device:
        first = push(make_bundle(files=weights, architecture=architecture), device)
        assert first.activated and first.sent_bytes > 1 << 20
        bundle = make_bundle(version="2", files=weights, architecture=architecture)
        second = push(bundle, device)
        assert (second.activated, second.kept_files, second.release.parent) == (True, 3, first.release.id)
        assert broken_files(device, second.release) == ""
        assert device.run([f"{second.release.path}/run", "check"]).exit_status == 0
        assert rollback(device).id == first.release.id == current_release(device).id
