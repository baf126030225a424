"""The image that boards of a target start from: kernel, first file system, and an ext4 disk. Built once, without root.

An image is named by what it is made from (the target's emulation table, the package list, our scripts), so a change of
any of these makes another one, and an image that is there is whole.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import msgspec

from edgedeploy.device.emulator.initramfs import base_archive
from edgedeploy.device.emulator.locks import exclusive
from edgedeploy.device.emulator.packages import Package, fetch, unpack
from edgedeploy.device.emulator.tools import find, need
from edgedeploy.errors import BoardError, HostError
from edgedeploy.files import cache_folder, replacing_folder, unwritable
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.target import Emulation

DISK_MB = 2048
"""Size of the image's file system; the file is sparse. Two releases with their runtimes take about 300 MB."""

_PACKAGES = (
    "base-files",
    "busybox-static",
    "coreutils",
    "libpython3-stdlib",
    "libstdc++6",
    "openssh-server",
    "python3-minimal",
    "tar",
)
# Unpacked, but of no use to a board that runs models: manuals, translations, Perl (which the kernel package asks for).
_LEFT_OUT = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/lib/aarch64-linux-gnu/perl",
    "usr/lib/udev",
    "usr/src",
    "var/cache",
)
_EMPTY_FOLDERS = {
    "dev": 0o755,
    "etc/edgedeploy": 0o755,
    "home/edge": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o755,
    "tmp": 0o1777,
}
_FILES = {
    # in the package: (on the board, mode)
    "group": ("etc/group", 0o644),
    "inittab": ("etc/inittab", 0o644),
    "passwd": ("etc/passwd", 0o644),
    "sshd_config": ("etc/ssh/sshd_config", 0o644),
    "start": ("etc/edgedeploy/start", 0o755),
}
# Debian's shell and alternatives are set up by maintainer scripts, which are not run: busybox fills the gaps.
_APPLETS = (
    *("awk", "clear", "df", "free", "gunzip", "gzip", "hostname", "ip", "less", "ping", "poweroff", "ps", "reboot"),
    *("sh", "sync", "top", "uptime", "vi", "wget", "which"),
)
_EDGE_UID = 1000
_FORMAT = 1
"""Raised when the way of building changes without a change in the files above."""


def image_folder(emulation: Emulation, progress: Progress = SILENT, *, rebuild: bool = False) -> Path:
    """The folder with `kernel`, `initramfs` and `disk.ext4`, built now if it is not there.

    Args:
        rebuild: build it again, with the packages that the sources have today.

    Raises:
        HostError: a tool is missing, the packages cannot be fetched, or there is no room.
        BoardError: the packages do not make a bootable image.
    """
    folder = cache_folder() / "images" / image_digest(emulation)[:16]
    with exclusive(folder, f"building the image {folder.name}", progress):
        if rebuild or not (folder / "disk.ext4").is_file():
            _build(folder, emulation, progress)
    return folder


def image_digest(emulation: Emulation) -> str:
    """SHA-256 of all that an image is made from, as hexadecimal digits."""
    digest = hashlib.sha256(
        msgspec.json.encode(
            (_FORMAT, DISK_MB, emulation, _PACKAGES, _LEFT_OUT, _APPLETS, sorted(_EMPTY_FOLDERS.items())),
            order="sorted",
        )
    )
    for name in ("init", *sorted(_FILES)):
        digest.update(_packaged(name))
    return digest.hexdigest()


def _build(folder: Path, emulation: Emulation, progress: Progress) -> None:
    need("apt-get", "dpkg-deb", "mke2fs", "debugfs")
    packages = fetch(
        (*_PACKAGES, emulation.kernel_package),
        release=emulation.debian_release,
        architecture=emulation.debian_architecture,
        progress=progress,
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".root-")
    except OSError as error:
        raise unwritable(folder, error) from error
    with scratch, replacing_folder(folder) as image:
        root = Path(scratch.name) / "root"
        unpack(packages, root, progress)
        progress.step("building the disk image")
        try:
            _furnish(root, image)
            _make_disk(root, image / "disk.ext4")
            _record(packages, image / "packages.json")
        except OSError as error:
            raise unwritable(folder, error) from error


def _furnish(root: Path, image: Path) -> None:
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise BoardError("the kernel package has no kernel", why=f"looked in {root / 'boot'}")
    kernel = kernels[-1].read_bytes()
    # QEMU takes both, but unpacks a compressed one at each boot.
    (image / "kernel").write_bytes(gzip.decompress(kernel) if kernel[:2] == b"\x1f\x8b" else kernel)
    (image / "initramfs").write_bytes(base_archive(root, _packaged("init")))
    shutil.rmtree(root / "boot")
    shutil.rmtree(root / "usr/lib/modules")
    for name in _LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
    for name, mode in _EMPTY_FOLDERS.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    for name, (place, mode) in _FILES.items():
        (root / place).write_bytes(_packaged(name))
        (root / place).chmod(mode)
    for applet in _APPLETS:
        link = root / "usr/bin" / applet
        if not link.exists() and not link.is_symlink():
            link.symlink_to("busybox")
    python = root / "usr/bin/python3"
    if not python.exists():
        raise BoardError("the packages have no python3", why="usr/bin/python3 is missing")


def _make_disk(root: Path, disk: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(DISK_MB << 20)
    _run([find("mke2fs"), "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1", "-d", str(root), str(disk)])
    # mke2fs keeps the owner that files have on this machine, which is whoever builds: on the board they are root's.
    lines = []
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            place = "/" + str((Path(folder) / name).relative_to(root))
            owner = _EDGE_UID if place.startswith("/home/edge") else 0
            lines += [f'set_inode_field "{place}" uid {owner}', f'set_inode_field "{place}" gid {owner}']
    lines += ['set_inode_field "/" uid 0', 'set_inode_field "/" gid 0']
    _run([find("debugfs"), "-w", "-f", "-", str(disk)], "\n".join(lines) + "\n")


def _record(packages: tuple[Package, ...], path: Path) -> None:
    path.write_bytes(msgspec.json.encode({package.name: package.version for package in packages}))


def _run(command: list[str], stdin: str = "") -> None:
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if result.returncode:
        raise HostError(
            f"{Path(command[0]).name} failed", why=result.stderr.strip()[-500:], mend="check the free disk space"
        )


def _packaged(name: str) -> bytes:
    return (resources.files(__package__) / "rootfs" / name).read_bytes()
