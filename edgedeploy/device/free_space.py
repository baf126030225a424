"""Read what `df -Pk` and `df -Pi` say of a file system: the one place that does."""

from __future__ import annotations

import re

# POSIX, df -P: file system, blocks of 1024 bytes, used, available, capacity, mount point. The first and the last may
# hold spaces, and busybox writes `-` for the capacity of a file system without blocks.
_AVAILABLE = re.compile(r"(?P<all>[0-9]+)\s+[0-9]+\s+(?P<available>[0-9]{1,15})\s+(?:[0-9]{1,3}%|-)\s+/", re.ASCII)


def free_bytes(line: str) -> int | None:
    """Read how many bytes are available to this user.

    Args:
        line: the last line of `df -Pk FOLDER`.

    Returns:
        None where the line is not one of df's.
    """
    match = _AVAILABLE.search(line)
    return int(match["available"]) << 10 if match else None


def free_inodes(line: str) -> int | None:
    """Read how many more files the file system can hold.

    Args:
        line: the last line of `df -Pi FOLDER`, as GNU and busybox have it: POSIX has no `-i`.

    Returns:
        None where the line is not one of df's, or the file system has no such number, as btrfs and FAT.
    """
    match = _AVAILABLE.search(line)
    return int(match["available"]) if match and int(match["all"]) else None
