"""The image that boards of a target start from: kernel, first file system, and an ext4 disk. Built once, without root.

An image is named by what it is made from: release, architecture, kernel, packages, the files of `rootfs/`, and the
version of the recipe that puts them together. A change of any of these makes another one, and an image that is there is
whole.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import time
from importlib import resources
from pathlib import Path

import msgspec

from edgedeploy.debian.packages import fetch, fetch_kernel, unpack
from edgedeploy.device.emulator.disk import make_disk
from edgedeploy.device.emulator.initramfs import base_archive
from edgedeploy.device.emulator.userland import (
    HOME,
    MINIMAL_PACKAGES,
    PACKAGES,
    USER_ID,
    make_minimal_userland,
    make_userland,
    packaged,
)
from edgedeploy.foundation.errors import BoardError
from edgedeploy.foundation.files import cache_folder, replacing_folder, unwritable
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.programs import need
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import BOARD_FILE, read_file
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.values.target import Emulation

RECIPE_VERSION = 1
"""To be raised with every change of code after which an image built from the same packages would be another one.
The source itself is no part of the name: a new comment would build 0.6 GB again on every machine."""

IMPORTED = "imported"
"""A file that marks an image as one that was not built here."""
_KEPT_S = 30 * 24 * 3600


def image_folder(
    emulation: Emulation, progress: Progress = SILENT, *, minimal: bool = False, rebuild: bool = False
) -> Path:
    """Return the folder with `kernel`, `initramfs`, `disk.ext4` and `packages.json`; build it if it is not there.

    Args:
        minimal: the system without Python, of busybox and sshd.
        rebuild: build it again, with the packages that the sources have today.

    Raises:
        HostError: a tool is missing, the packages cannot be fetched, or there is no room.
        BoardError: the packages do not make a bootable image.
        BusyError: another edgedeploy has been building for too long.
    """
    folder = named_folder(image_digest(emulation, minimal=minimal))
    with one_build_at_a_time(progress):
        if rebuild or not (folder / "disk.ext4").is_file():
            _forget_unused(folder.parent)
            build_image(folder, emulation, minimal, progress)
        os.utime(folder)
    return folder


def one_build_at_a_time(progress: Progress) -> contextlib.AbstractContextManager[None]:
    """Keep other processes from building meanwhile, whichever image it is: they share apt's folders.

    Raises:
        BusyError: another edgedeploy has been building for too long.
    """
    return exclusive(cache_folder() / "images" / "build", "building an image", progress)


def named_folder(digest: str) -> Path:
    """Return the folder of an image, by what `image_digest` says of it."""
    return cache_folder() / "images" / digest[:16]


def image_is_there(emulation: Emulation, *, minimal: bool = False) -> bool:
    """Tell whether an image need not be built."""
    return (named_folder(image_digest(emulation, minimal=minimal)) / "disk.ext4").is_file()


def image_digest(emulation: Emulation, *, minimal: bool = False) -> str:
    """Hash all that an image is made from but the packages' versions: SHA-256, as hexadecimal digits."""
    system = (emulation.debian_release, emulation.debian_architecture, "minimal" if minimal else "whole")
    packages = tuple(MINIMAL_PACKAGES if minimal else PACKAGES)
    made_from = (RECIPE_VERSION, *system, _kernel_architecture(emulation), emulation.kernel_package, packages)
    digest = hashlib.sha256(msgspec.json.encode(made_from))
    rootfs = resources.files(__package__) / "rootfs"
    for part in sorted(rootfs.iterdir(), key=lambda file: file.name):
        content = part.read_bytes()
        digest.update(f"{part.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _forget_unused(images: Path) -> None:
    """Remove images that nobody has asked for in a month, as those of earlier versions of edgedeploy.

    One that was imported may be all that a machine without a network can have.
    """
    for image in images.glob("[0-9a-f]*"):
        if time.time() - image.stat().st_mtime > _KEPT_S and not (image / IMPORTED).exists():
            shutil.rmtree(image, ignore_errors=True)


def build_image(folder: Path, emulation: Emulation, minimal: bool, progress: Progress) -> None:
    """Build an image into `folder` from Debian's packages, as `image_folder` says."""
    need("apt-get", "dpkg-deb", "tar", "mke2fs", "debugfs")
    release = emulation.debian_release
    kernel = fetch_kernel(
        emulation.kernel_package, release=release, architecture=_kernel_architecture(emulation), progress=progress
    )
    packages = fetch(
        MINIMAL_PACKAGES if minimal else PACKAGES,
        release=release,
        architecture=emulation.debian_architecture,
        kind="minimal" if minimal else "",
        progress=progress,
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for pattern in (".root-*", ".*.partial", ".*.old"):  # of builds that were killed; no other is at work
            for abandoned in folder.parent.glob(pattern):
                shutil.rmtree(abandoned, ignore_errors=True)
        scratch = scratch_folder(folder.parent)
    except OSError as error:
        raise unwritable(folder, error) from error
    with scratch as work, replacing_folder(folder) as image:
        # The kernel is QEMU's to load, and the modules that a board needs are in its first file system: neither is on
        # the disk.
        root, kernel_root = work / "root", work / "kernel"
        root.mkdir()
        kernel_root.mkdir()
        try:
            (make_minimal_userland if minimal else make_userland)(packages, root, progress)
            unpack(kernel, kernel_root, leave_out=("usr/share/doc",))
            progress.step("building the disk image")
            (image / "kernel").write_bytes(_kernel(kernel_root))
            modules = kernel_root / "usr/lib/modules"
            (image / "initramfs").write_bytes(base_archive(root / "usr/bin/busybox", modules, packaged("init")))
            make_disk(root, image / "disk.ext4", home=HOME, home_uid=USER_ID)
            versions = {package.name: package.version for package in (*kernel, *packages)}
            (image / "packages.json").write_bytes(msgspec.json.format(msgspec.json.encode(versions), indent=2))
        except OSError as error:
            raise unwritable(folder, error) from error


def _kernel_architecture(emulation: Emulation) -> str:
    return emulation.kernel_architecture or emulation.debian_architecture


def _kernel(root: Path) -> bytes:
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise BoardError("the kernel package has no kernel", why=f"looked in {root / 'boot'}")
    kernel = read_file(kernels[-1], BOARD_FILE)
    # QEMU takes both, but unpacks a compressed one at each boot.
    return gzip.decompress(kernel) if kernel[:2] == b"\x1f\x8b" else kernel
