"""Every error a user can meet, with the exit code it ends the command with.

An error says three things: what happened, why, and what fixes it. `cli` prints them; nothing else does. A mistake
inside edgedeploy is not one of these: it ends with 70, and `cli.crash` writes its traceback to a file.

Exit codes: 0 yes, 1 the answer is no, 2 the command line is wrong (click's own), 3 and up one per class below,
70 a mistake of ours, 130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

from typing import ClassVar

from edgedeploy.foundation.sanitize import printable_lines


class EdgedeployError(Exception):
    """Base of all errors that are a fact about the user's world rather than a mistake of ours.

    Args:
        what: what happened, one sentence without a full stop.
        why: the cause, as far as it is known.
        hint: the command or change that fixes it; printed as `fix:`.
    """

    exit_code: ClassVar[int]
    meaning: ClassVar[str]

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        text = "\n".join(
            line for line in (self.what, self.why and f"  why: {self.why}", self.hint and f"  fix: {self.hint}") if line
        )
        # Part of it may be a device's or a file's words: they must not command the terminal.
        return printable_lines(text)


class InvalidFileError(EdgedeployError):
    """A file is missing, unreadable, or not what its name says (model, TOML, bundle, measurement)."""

    exit_code = 3
    meaning = "a file is missing, unreadable or malformed"


class DatasetError(EdgedeployError):
    """A dataset does not fit the model: wrong array name, shape or type, no labels, no samples."""

    exit_code = 4
    meaning = "a dataset does not fit the model"


class UnsupportedError(EdgedeployError):
    """The input is sound, but a step cannot take it (over 2 GB, an operator, a target without the backend)."""

    exit_code = 5
    meaning = "a step cannot take this model, target or setting"


class UnknownNameError(EdgedeployError):
    """A recipe, target, board, device, metric or release of that name does not exist."""

    exit_code = 6
    meaning = "no recipe, target, board or release has that name"


class HostError(EdgedeployError):
    """This machine lacks what the step needs: a program, disk space, a package registry."""

    exit_code = 7
    meaning = "this machine lacks a program, disk space or network"


class UnreachableError(EdgedeployError):
    """The device does not answer: name not resolved, port refused, time-out, connection lost."""

    exit_code = 8
    meaning = "the device cannot be reached"


class AuthenticationError(EdgedeployError):
    """The device's host key is unknown or has changed, or it refuses our key."""

    exit_code = 9
    meaning = "host key unknown or changed, or the device refused the key"


class DeviceError(EdgedeployError):
    """The device answered but cannot do it: no Python, disk full, wrong architecture, a command failed there."""

    exit_code = 10
    meaning = "the device cannot do what was asked"


class IntegrityError(EdgedeployError):
    """Bytes are not the ones their SHA-256 names: a bundle that was touched, a blob damaged on the way."""

    exit_code = 11
    meaning = "bytes do not match their SHA-256"


class BusyError(EdgedeployError):
    """Somebody else holds the lock: another push to this device, another build of this board."""

    exit_code = 12
    meaning = "another edgedeploy is at work on the same thing"


class BoardError(EdgedeployError):
    """An emulated board could not be built or booted."""

    exit_code = 13
    meaning = "an emulated board could not be built or booted"


class MeasurementError(EdgedeployError):
    """The measurement in a sound file decides nothing: invalid (throttled, noisy), untimed or of something else."""

    exit_code = 15
    meaning = "a measurement cannot be used: invalid, or of something else"


def exit_codes() -> dict[int, str]:
    """List the exit code of every class above, with what it means."""
    return {kind.exit_code: kind.meaning for kind in EdgedeployError.__subclasses__() if "meaning" in vars(kind)}
