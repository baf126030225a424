"""What a booted board says of itself, and what is refused there before a byte is sent."""

from __future__ import annotations

import os

import pytest

from edgedeploy.deploy.push import push
from edgedeploy.device.address import connect
from edgedeploy.device.emulator.board import BoardStatus, emulated_board
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Needs, Runtime

pytestmark = pytest.mark.emulated


def test_a_board_is_what_it_stands_in_for(board: BoardStatus) -> None:
    with connect(board.address) as device:
        found = probe(device)
    assert (found.machine, found.architectures, found.userland_bits) == ("aarch64", ("aarch64",), 64)
    assert (found.cpu, found.cores, found.page_size_bytes) == ("Cortex-A72", 2, 4096)
    assert {"asimd", "crc32"} < set(found.cpu_features) and "asimddp" not in found.cpu_features
    assert (found.libc.kind, found.libc.version) == ("glibc", "2.36")
    assert [(each.version, each.bits) for each in found.pythons] == [("3.11", 64)]
    assert found.memory_total_bytes and found.memory_total_bytes > 900 << 20
    assert found.system.codename == "bookworm" and found.disk_free_bytes
    assert found.fit is not None and found.fit.target == "rpi4" and found.fit.but == ()


def test_an_rpi5_of_trixie_has_large_pages(make_bundle) -> None:
    """Of Debian 13, with the kernel that has pages of 16 KB."""
    with (
        emulated_board(f"pytest-{os.getpid()}-16k", target="rpi5", os="trixie", delete=True) as status,
        connect(status.address) as device,
    ):
        found = probe(device)
        assert (status.os, found.system.codename, found.page_size_bytes) == ("trixie", "trixie", 16384)
        assert [(each.version, each.bits) for each in found.pythons] == [("3.13", 64)]
        assert found.fit is not None and (found.fit.target, found.fit.but) == ("rpi5:trixie", ())
        native = Runtime(backend="native", python=None, glibc=None, packages={})
        small = make_bundle(architecture="aarch64", runtime=native, needs=Needs(page_size_bytes=4096))
        with pytest.raises(DeviceError, match="aligned for pages of 4,096 bytes"):
            push(small, device)


def test_bundles_that_cannot_run_there_are_refused_before_a_byte_is_sent(make_bundle, board: BoardStatus) -> None:
    native = Runtime(backend="native", python=None, glibc=None, packages={})
    cases = {
        "is for cores with asimddp, and those of board:": {"needs": Needs(cpu_features=("asimd", "asimddp"))},
        "is aarch64 without a 32-bit userland": {"architecture": "armv7l"},
        "needs glibc 2.38, and board:": {"runtime": Runtime(backend="c", python=None, glibc="2.38", packages={})},
        "needs Python 3.13, and board:": {
            "runtime": Runtime(backend="onnxruntime", python="3.13", glibc="2.28", packages={})
        },
        "were measured, and board:": {"needs": Needs(memory_bytes=8 << 30)},
    }
    with connect(board.address) as device:
        assert device.run(["rm", "-rf", ".edgedeploy"]).exit_status == 0
        for words, changes in cases.items():
            with pytest.raises(DeviceError, match=words) as caught:
                push(make_bundle(**{"architecture": "aarch64", "runtime": native, **changes}), device)
            assert caught.value.hint
        assert device.run(["test", "-e", ".edgedeploy"]).exit_status != 0
