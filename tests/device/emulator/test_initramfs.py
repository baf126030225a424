from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgedeploy.device.emulator.initramfs import base_archive, board_archive
from edgedeploy.foundation.errors import BoardError


def entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content of each entry, read by the format's own description."""
    at = 0
    while True:
        assert at % 4 == 0 and archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, user, group, size, name_size = fields[1], fields[2], fields[3], fields[6], fields[11]
        assert (user, group) == (0, 0)
        at += 110
        name = archive[at : at + name_size - 1].decode()
        at += name_size + -(110 + name_size) % 4
        if name == "TRAILER!!!":
            assert at == len(archive)
            return
        yield name, mode, archive[at : at + size]
        at += size + -size % 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    modules = tmp_path / "usr/lib/modules/6.1.0/kernel"
    modules.mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/busybox").write_bytes(b"ELF")
    for name, depends in {
        "virtio": "virtio_ring",
        "virtio_ring": "",
        "virtio_mmio": "virtio,virtio_ring",
        "virtio_blk": "virtio",
        "virtio-rng": "virtio",
        "unrelated": "",
    }.items():
        (modules / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0")
    return tmp_path


def test_modules_come_after_what_they_need(root: Path) -> None:
    files = {
        name: content
        for name, _, content in entries(base_archive(root / "usr/bin/busybox", root, b"#!/bin/busybox sh\n"))
    }
    order = files["modules/order"].decode().split()
    assert order == ["virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_blk.ko", "virtio-rng.ko"]
    assert all(f"modules/{name}" in files for name in order)
    assert files["init"] == b"#!/bin/busybox sh\n"
    assert files["bin/busybox"] == b"ELF"


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_packed_modules_are_unpacked(root: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    plain = base_archive(root / "usr/bin/busybox", root, b"")
    for module in root.rglob("*.ko"):
        module.with_name(module.name + suffix).write_bytes(pack(module.read_bytes()))
        module.unlink()
    assert base_archive(root / "usr/bin/busybox", root, b"") == plain
    (damaged,) = root.rglob(f"virtio_ring.ko{suffix}")
    damaged.write_bytes(damaged.read_bytes()[:-4])
    with pytest.raises(BoardError, match=f"virtio_ring.ko{suffix} is damaged"):
        base_archive(root / "usr/bin/busybox", root, b"")


def test_modules_that_are_built_in_need_no_file(root: Path) -> None:
    for module in root.rglob("virtio*.ko"):
        module.unlink()
    (root / "usr/lib/modules/6.1.0/modules.builtin").write_text("kernel/drivers/block/virtio_blk.ko\n")
    files = {name: content for name, _, content in entries(base_archive(root / "usr/bin/busybox", root, b""))}
    assert files["modules/order"] == b""


def test_a_kernel_without_virtio_is_refused(root: Path) -> None:
    for module in root.rglob("virtio*.ko"):
        module.unlink()
    with pytest.raises(BoardError, match="no virtio modules"):
        base_archive(root / "usr/bin/busybox", root, b"")


def test_a_board_s_own_archive() -> None:
    found = {name: (mode, content) for name, mode, content in entries(board_archive(b"secret", "ssh-ed25519 A", "b1"))}
    assert found["board"][0] == 0o040755
    assert found["board/ssh_host_ed25519_key"] == (0o100600, b"secret")
    assert found["board/authorized_keys"] == (0o100644, b"ssh-ed25519 A\n")
    assert found["board/hostname"][1] == b"b1\n"
