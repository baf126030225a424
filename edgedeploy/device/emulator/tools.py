"""Programs of the host that boards are built and run with."""

from __future__ import annotations

import os
import shutil

from edgedeploy.errors import HostError

_PACKAGES = {
    "apt-get": "apt",
    "debugfs": "e2fsprogs",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
    "resize2fs": "e2fsprogs",
    "ssh": "openssh-client",
}
# Debian keeps file system tools where only root's PATH looks; they work for everybody.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def need(*programs: str) -> None:
    """Raise HostError with the exact apt line unless all `programs` are there."""
    missing = [program for program in programs if shutil.which(program, path=_PATH) is None]
    if missing:
        packages = " ".join(sorted({_PACKAGES[program] for program in missing}))
        sudo = "" if os.geteuid() == 0 else "sudo "
        raise HostError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed on this machine",
            mend=f"{sudo}apt-get install -y --no-install-recommends {packages}",
        )


def find(program: str) -> str:
    """The program's path. Raises HostError as `need` does."""
    need(program)
    return shutil.which(program, path=_PATH) or program
