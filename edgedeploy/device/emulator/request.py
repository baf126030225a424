"""What is asked of a board that is to be up, beside its target."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.device.emulator.state import BoardState
from edgedeploy.device.emulator.systems import default_system
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.values.target import Target

DEFAULT_DISK_MB = 2048
"""MiB. The file is sparse; the system takes 150 MiB, a release with its runtime about as much."""


class BoardRequest(Struct, frozen=True, kw_only=True):
    """None: as the board is; a new one tells time, has a whole system, this machine's own release where its target has
    that, and a disk of `DEFAULT_DISK_MB`."""

    os: str | None
    """Code name of its release."""
    counting: bool | None
    """Its clock counts instructions."""
    minimal: bool | None
    """Its system is busybox and sshd."""
    disk_mb: int | None
    rebuild: bool
    """Make its image and the board anew, in any case."""

    def refuse_changes(self, name: str, state: BoardState, target: Target) -> None:
        """Raise UnsupportedError when the board exists with another target, release, clock, system or disk size.

        Args:
            state: of the board, with its `os` said.
        """
        clocks = {None: None, True: "counts instructions", False: "tells time"}
        systems = {None: None, True: "minimal", False: "whole"}
        for what, has, wanted in (
            ("target", state.target, target.name),
            ("release", state.os, self.os),
            ("clock", clocks[state.counting], clocks[self.counting]),
            ("system", systems[state.minimal], systems[self.minimal]),
            ("disk in MiB", state.disk_mb, self.disk_mb),
        ):
            if wanted is not None and wanted != has:
                raise UnsupportedError(
                    f"board {name} exists with another {what}: {has}, not {wanted}",
                    hint=f"edgedeploy board down {name} --delete, or give the new board another name",
                )

    def state_of(self, state: BoardState | None, target: Target) -> BoardState:
        """Return the state of a board that is made now, as it is asked for, or else as it was. Its image is empty.

        Args:
            state: of the board as it was, with its `os` said.
        """
        old = state or BoardState(target=target.name, image="", os=default_system(target), disk_mb=DEFAULT_DISK_MB)
        return BoardState(
            target=target.name,
            image="",
            os=self.os or old.os,
            disk_mb=self.disk_mb or old.disk_mb,
            port=old.port,
            counting=old.counting if self.counting is None else self.counting,
            minimal=old.minimal if self.minimal is None else self.minimal,
        )
