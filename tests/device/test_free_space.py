"""What df says, of GNU and of busybox, and what is none of it."""

from __future__ import annotations

import pytest

from edgedeploy.device.free_space import free_bytes, free_inodes


@pytest.mark.parametrize(
    ("line", "kib"),
    [
        ("/dev/root        30000000  12000000 17000000      42% /", 17_000_000),
        ("overlay 100 40 60 40% /var/lib/two words", 60),
        ("//server/a share 100 40 60 40% /mnt", 60),
        ("tmpfs 0 0 0 - /run", 0),
        ("tmpfs 100 100 0 100% /full", 0),
        ("/dev/root 100 40 60 40%", None),
        ("Filesystem 1024-blocks Used Available Capacity Mounted on", None),
        ("df: .edgedeploy: No such file or directory", None),
        (f"disk 1 1 {'9' * 5000} 1% /", None),
        ("disk 100 40 -60 40% /", None),
        ("", None),
    ],
)
def test_available_is_read_in_bytes_or_not_at_all(line: str, kib: int | None) -> None:
    assert free_bytes(line) == (None if kib is None else kib * 1024)


@pytest.mark.parametrize(
    ("line", "inodes"),
    [
        ("/dev/root        1954064 211004 1743060   11% /", 1_743_060),
        ("tmpfs 120 120 0 100% /full", 0),
        ("/dev/sda1 0 0 0 - /btrfs", None),
        ("Filesystem Inodes IUsed IFree IUse% Mounted on", None),
        ("df: invalid option -- 'i'", None),
        ("", None),
    ],
)
def test_free_inodes(line: str, inodes: int | None) -> None:
    assert free_inodes(line) == inodes
