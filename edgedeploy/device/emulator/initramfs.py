"""A kernel's first file system: busybox, the modules that reach the disk and the network, and a short /init.

The archive is cpio's «newc» format, which the kernel unpacks
(https://www.kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html). Archives may follow one another:
each board appends a small one with its own keys, so that no image holds a key.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from edgedeploy.foundation.errors import BoardError, HostError
from edgedeploy.foundation.reading import BOARD_FILE, read_file, read_text

# What a kernel of Debian's may have as a module; what is built into it, is passed over.
_MODULES = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "crc32c_generic", "ext4")
# Debian's kernels have plain modules until bookworm, and packed ones from trixie on.
_SUFFIXES = (".ko", ".xz", ".gz")


class CpioArchive:
    """Collects entries, owned by root and dated 1970, in the order they are added."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._inode = 0

    def folder(self, name: str, mode: int = 0o755) -> None:
        self._add(name, 0o040000 | mode)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self._add(name, 0o100000 | mode, content)

    def character_device(self, name: str, major: int, minor: int) -> None:
        self._add(name, 0o020600, device=(major, minor))

    def finished(self) -> bytes:
        self._add("TRAILER!!!", 0)
        return bytes(self._content)

    def _add(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        # magic; inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name size, checksum
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        self._content += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self._content += content
        self._pad()

    def _pad(self) -> None:
        self._content += b"\0" * (-len(self._content) % 4)


def base_archive(busybox: Path, modules: Path, init: bytes) -> bytes:
    """Make the archive that every board of an image boots with.

    Args:
        busybox: a static one, of the board's architecture.
        modules: a folder that has, anywhere below it, one kernel's modules.
        init: the script that becomes `/init`; it loads the modules listed in `/modules/order`.

    Raises:
        BoardError: the kernel has no such modules.
    """
    archive = CpioArchive()
    for name in ("bin", "dev", "proc", "sys", "newroot", "modules"):
        archive.folder(name)
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", read_file(busybox, BOARD_FILE), 0o755)
    order = _load_order(modules, _MODULES)
    for name, content in order.items():
        archive.file(f"modules/{name}", content)
    archive.file("modules/order", "".join(f"{name}\n" for name in order).encode())
    archive.file("init", init, 0o755)
    return archive.finished()


def board_archive(host_key: bytes, authorized_key: str, hostname: str) -> bytes:
    """Make the archive of one board's own files: `/init` copies them to `/run/edgedeploy` at each boot."""
    archive = CpioArchive()
    archive.folder("board")
    archive.file("board/ssh_host_ed25519_key", host_key, 0o600)
    archive.file("board/authorized_keys", f"{authorized_key}\n".encode(), 0o644)
    archive.file("board/hostname", f"{hostname}\n".encode())
    return archive.finished()


def _load_order(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """List the modules with their content, each after those that it depends on; without what is built into the kernel.

    Raises:
        BoardError: the kernel has none of `names`, neither as a module nor built in.
    """
    files = {
        _file_name(path).removesuffix(".ko").replace("-", "_"): path
        for path in folder.rglob("*.ko*")
        if path.suffix in _SUFFIXES
    }
    order: dict[str, bytes] = {}

    def visit(name: str) -> None:
        if name not in files or (file := _file_name(files[name])) in order:
            return
        content = _module(files[name])
        # What `modinfo` prints: NUL-separated `key=value` in the .modinfo section.
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for dependency in depends[1].decode().split(",") if depends else []:
            visit(dependency.replace("-", "_"))
        order[file] = content

    for name in names:
        visit(name)
    if not order and not _built_in(folder).intersection(names):
        raise BoardError("the kernel package has no virtio modules", why=f"looked in {folder}")
    return order


def _file_name(path: Path) -> str:
    """Return the name that a module's file has unpacked, e.g. `"virtio_blk.ko"`."""
    return f"{path.name.partition('.ko')[0]}.ko"


def _module(path: Path) -> bytes:
    """Read a module, unpacked: a kernel need not know how, and its `.modinfo` is to be read."""
    content = read_file(path, BOARD_FILE)
    try:
        if path.suffix == ".gz":
            return gzip.decompress(content)
        return _unpacked_xz(content) if path.suffix == ".xz" else content
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BoardError(f"the kernel's module {path.name} is damaged", why=str(error)) from error


def _unpacked_xz(content: bytes) -> bytes:
    try:
        import lzma
    except ImportError as error:  # of a Python that was built on a machine without the library
        raise HostError(
            "this Python cannot unpack the modules of the board's kernel",
            why=str(error),
            hint="use a Python that has the module lzma, as Debian's and uv's have",
        ) from error
    try:
        return lzma.decompress(content)
    except lzma.LZMAError as error:
        raise ValueError(str(error)) from error


def _built_in(folder: Path) -> set[str]:
    """Read which modules the kernel has built in (`modules.builtin`, one path a line)."""
    lines = [line for path in folder.rglob("modules.builtin") for line in read_text(path, BOARD_FILE).splitlines()]
    return {Path(line).stem.replace("-", "_") for line in lines}
