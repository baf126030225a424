"""Make, copy and repair a board's disk, an ext4 file system in a sparse file, without root."""

from __future__ import annotations

from pathlib import Path

from edgedeploy.foundation.errors import BoardError, HostError, UnsupportedError
from edgedeploy.foundation.files import unwritable
from edgedeploy.foundation.programs import completed, find, last_lines, run

# Named one by one: the host's own defaults (mke2fs.conf) may be newer than the board's kernel.
_FEATURES = (
    *("none", "has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg"),
    *("sparse_super", "large_file", "huge_file", "dir_nlink", "extra_isize", "metadata_csum"),
)
_JOURNAL_MB = 16
_LEAST_MB = 64  # mke2fs takes no journal of that size for less
_INODE_RATIO_BYTES = 8192
# e2fsck(8): the exit status is a sum of bits; these are «errors corrected» and «the system should be rebooted».
_MENDED = 1 | 2
_JOURNAL_REPLAYED = "recovering journal"
"""What e2fsck says of it; its exit status does not."""


def make_disk(root: Path, disk: Path, *, home: str, home_uid: int) -> None:
    """Make a file system that holds the folder `root` and is as small as may be; a board's copy is grown.

    Every file belongs to the board's root user, whoever owns it here, but what is under `home` (e.g. `"/home/edge"`).

    Raises:
        HostError: a tool is missing, or there is no room.
    """
    paths = sorted(root.rglob("*"))
    content_bytes = sum(_blocks_bytes(path.lstat().st_size) for path in paths)
    size_mb = max(_LEAST_MB, _JOURNAL_MB + 16 + int(content_bytes / 2**20 * 1.1))
    _truncate(disk, size_mb)
    options = ["-q", "-F", "-t", "ext4", "-O", ",".join(_FEATURES), "-J", f"size={_JOURNAL_MB}", "-m", "0"]
    options += ["-b", "4096", "-i", str(_INODE_RATIO_BYTES), "-E", "lazy_itable_init=1,root_owner=0:0"]
    run("mke2fs", *options, "-d", str(root), str(disk))
    # mke2fs keeps the owner that a file has on the host, which is whoever builds.
    lines = []
    for path in paths:
        place = f"/{path.relative_to(root)}"
        owner = home_uid if place == home or place.startswith(f"{home}/") else 0
        quoted = '"' + place.replace('"', '""') + '"'
        lines += [f"set_inode_field {quoted} {field} {owner}" for field in ("uid", "gid")]
    _debugfs(disk, lines)


def refuse_small_disk(source: Path, disk_mb: int) -> None:
    """Raise UnsupportedError when an image's disk does not fit into `disk_mb` MiB."""
    least_mb = -(-source.stat().st_size // 2**20)
    if disk_mb < least_mb:
        raise UnsupportedError(
            f"a board's disk cannot be as small as {disk_mb} MiB",
            why=f"the system alone takes {least_mb} MiB",
            hint=f"ask for at least {least_mb} MiB",
        )


def copy_disk(source: Path, destination: Path, disk_mb: int) -> None:
    """Copy an image's disk for a board, sharing or skipping what can be, and grow it to `disk_mb` MiB.

    Raises:
        HostError: a tool is missing, or there is no room.
    """
    run("cp", "--sparse=always", "--reflink=auto", str(source), str(destination))
    _truncate(destination, disk_mb)
    run("resize2fs", str(destination))


def repair_disk(disk: Path) -> bool:
    """Bring a disk that is not in use back in order, and say whether there was something to do.

    A disk that was shut down in order is only looked at. After a power cut the journal is replayed; damage beyond that
    (the host's own crash) is repaired as well as e2fsck can.

    Raises:
        BoardError: it is beyond repair.
    """
    # -p asks nothing and mends what is safe; -y then mends the rest.
    for answer in ("-p", "-y"):
        result = completed([find("e2fsck"), answer, str(disk)])
        if result.returncode & ~_MENDED == 0:
            return _JOURNAL_REPLAYED in result.stdout or result.returncode != 0
    raise BoardError(
        f"{disk} is damaged beyond repair",
        why=last_lines(result.stdout + result.stderr),
        hint="edgedeploy board down NAME --delete, and up again",
    )


def _debugfs(disk: Path, lines: list[str]) -> None:
    # It ends with 0 whatever its commands say, and says nothing else on standard error than its own name and version.
    result = completed([find("debugfs"), "-w", "-f", "-", str(disk)], input="\n".join(lines) + "\n")
    complaints = [line for line in result.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if result.returncode or complaints:
        raise HostError("debugfs cannot set the owners of the board's files", why="\n".join(complaints[-5:]))


def _truncate(path: Path, size_mb: int) -> None:
    try:
        with path.open("ab") as file:
            file.truncate(size_mb * 2**20)
    except OSError as error:
        raise unwritable(path, error) from error


def _blocks_bytes(size_bytes: int) -> int:
    return -(-size_bytes // 4096) * 4096
