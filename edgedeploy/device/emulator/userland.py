"""The board's root folder: Debian's packages, and in the place of their maintainer scripts the few files it takes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from edgedeploy.debian.apt import Package
from edgedeploy.debian.packages import unpack
from edgedeploy.device.emulator.minimal import keep_minimum
from edgedeploy.foundation.errors import BoardError
from edgedeploy.foundation.programs import TIMEOUT_S, end_with_parent
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import BOARD_FILE, read_file

PACKAGES = (
    *("base-files", "bash", "busybox-static", "coreutils", "dash", "diffutils", "findutils"),
    *("grep", "gzip", "hostname"),
    *("libstdc++6", "openssh-server", "procps", "python3", "sed", "tar", "util-linux"),
)
"""What a Debian system has that a model, or edgedeploy, may ask for. The kernel comes on top."""

MINIMAL_PACKAGES = ("base-files", "busybox-static", "libstdc++6", "openssh-server")
"""What a minimal system is taken from: of these and all that they depend on, few files are kept."""

USER, USER_ID, HOME = "edge", 1000, "/home/edge"
"""Who SSH logs in as; as `rootfs/passwd` has it."""

# Of no use to a board that runs models: manuals, translations, Perl (which other packages' scripts ask for).
_LEFT_OUT = (
    *("usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man"),
    *("usr/share/perl", "usr/share/perl5", "usr/lib/*/perl", "usr/lib/udev", "usr/src", "var/cache"),
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
    # in rootfs/: (on the board, mode)
    "console": ("etc/edgedeploy/console", 0o755),
    "group": ("etc/group", 0o644),
    "hosts": ("etc/hosts", 0o644),
    "inittab": ("etc/inittab", 0o644),
    "passwd": ("etc/passwd", 0o644),
    "sshd_config": ("etc/ssh/sshd_config", 0o644),
    "start": ("etc/edgedeploy/start", 0o755),
    "stop": ("etc/edgedeploy/stop", 0o755),
}
# Debian's alternatives are set up by maintainer scripts, which are not run: busybox fills the gaps.
_APPLETS = ("awk", "clear", "ip", "less", "ping", "poweroff", "vi", "wget", "which")


def packaged(name: str) -> bytes:
    """Read one of our own files for the board, from the folder `rootfs`."""
    return (resources.files(__package__) / "rootfs" / name).read_bytes()


def make_userland(packages: Sequence[Package], root: Path, progress: Progress = SILENT) -> None:
    """Fill the empty folder `root` with a Debian system.

    Raises:
        HostError: a package cannot be unpacked, or there is no room.
        BoardError: the packages lack what a board needs.
    """
    unpack(packages, root, leave_out=_LEFT_OUT, progress=progress)
    for name in ("busybox", "python3"):
        if not (root / "usr/bin" / name).exists():
            raise BoardError(f"the packages have no {name}", why=f"usr/bin/{name} is missing")
    _add_own_files(root)
    for place in (".bashrc", ".profile"):
        (root / HOME[1:] / place).write_bytes(read_file(root / "etc/skel" / place, BOARD_FILE))
        (root / HOME[1:] / place).chmod(0o644)
    for applet in _APPLETS:
        link = root / "usr/bin" / applet
        if not link.exists() and not link.is_symlink():
            link.symlink_to("busybox")
    _compile_standard_library(root, progress)


def make_minimal_userland(packages: Sequence[Package], root: Path, progress: Progress = SILENT) -> None:
    """Fill the empty folder `root` with busybox and sshd, and what a program linked to GNU's C or C++ library needs.

    Every command is busybox's: the board links them at its first boot, when busybox itself can say which it has.

    Raises:
        HostError: a package cannot be unpacked, or there is no room.
        BoardError: the packages lack what a board needs.
    """
    unpack(packages, root, leave_out=_LEFT_OUT, progress=progress)
    keep_minimum(root)
    _add_own_files(root)
    passwd = root / "etc/passwd"
    passwd.write_bytes(read_file(passwd, BOARD_FILE).replace(b"/bin/bash", b"/bin/sh"))


def _add_own_files(root: Path) -> None:
    for name, mode in _EMPTY_FOLDERS.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    for name, (place, mode) in _FILES.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(packaged(name))
        (root / place).chmod(mode)


def _compile_standard_library(root: Path, progress: Progress) -> None:
    """Make the `.pyc` files that a maintainer script would: without them, Python compiles at each start.

    They are the same on every architecture, but only the same minor version of Python makes them: this one, or another
    that is installed here (the board's user cannot, as the folder is root's). A board without them works, and is
    slower to start Python.
    """
    library = next((path for path in sorted(root.glob("usr/lib/python3.*")) if path.is_dir()), None)
    if library is None:
        return
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = sys.executable if library.name == own else shutil.which(library.name)
    if python is None:
        progress.note(f"no {library.name}, the board's, is installed here: the board's library is left uncompiled")
        return
    command = [python, "-I", "-m", "compileall", "-qq", "-s", str(root), "-p", "/", str(library)]
    # The umask of whoever builds must not hide the files from the board's user.
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            umask=0o022,
            timeout=TIMEOUT_S,
            preexec_fn=end_with_parent,
        )
        if done.returncode:  # as of a pyenv's stand-in for a version that is not chosen
            progress.note(f"{python} does not compile the board's library, which is left as it is")
