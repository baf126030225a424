"""What a device's store holds, and damage to it; tools that a device finds before its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgedeploy.device.connection import Completed

FakeTool = Callable[[str, str], None]


def store(home: Path) -> Path:
    return home / ".edgedeploy"


def tree(home: Path) -> dict[str, bytes | str]:
    """Everything on the device but its log: contents of files, targets of links."""
    return {
        path.relative_to(home).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(home.rglob("*"))
        if (path.is_symlink() or path.is_file()) and path != store(home) / "log"
    }


def damage(path: Path, content: bytes) -> None:
    """Other content in the same inode, as a failing card gives it."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(content)


class Untouchable:
    """A device that must not be asked for anything."""

    address = "device"
    emulated = False
    virtual_machine = None
    counts_instructions = False
    emulator = None

    def run(self, *_: object, **__: object) -> Completed:
        raise AssertionError("a command was run")

    start = run
