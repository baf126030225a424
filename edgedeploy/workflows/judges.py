"""Who judges a result beside this machine's exact arithmetic: one rule for `optimize`, `ship` and the API.

Speed is judged by the machine that the result is for:

- no device is named, or `local:`: this machine, by the ratio of two times taken in turn;
- `board:NAME`: a board of that target, by the instructions that it executes;
- `ssh://…`: the device itself, by the ratio of two times taken in turn (`DeviceTiming`). That needs a release on the
  device, so `ship` does it behind the push, and `optimize` does not install anything for it.

Where nobody can judge, that is said, with the reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.host_timing import HostTiming
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.values.target import Target
from edgedeploy.workflows.emulated.instruction_counts import GuestInstructions

_RUNTIMES: dict[ModelFormat, str] = {"onnx": "onnxruntime", "tflite": "tflite"}
"""The backend that runs source and result of a format as they are."""


class Judges(NamedTuple):
    """Who judges a result beside this machine's exact arithmetic."""

    speed: SpeedJudge | None
    """None leaves speed unjudged."""
    board: Board | None
    """Runs the result too, so that its answers are judged there; None for none."""
    unjudged: str = ""
    """Why nobody judges speed; empty where somebody does."""


NOBODY = Judges(speed=None, board=None, unjudged="nobody was asked to")

_BUDGET_S = 60.0
_BEFORE_PUSH_BUDGET_S = 15.0
"""For a board's answers: what is ruined there shows in as long, and the rest is tested once the release is there."""


@contextlib.contextmanager
def speed_judge(
    address: str | None, *, budget_s: float = _BUDGET_S, progress: Progress = SILENT
) -> Iterator[HostTiming | GuestInstructions]:
    """Open who judges speed, for the length of a `with` block; a board can also be asked for what it answers.

    Args:
        address: `board:NAME`: an emulated board. Its instructions are counted on another one of the same target,
            `NAME-counting`, which is booted when it is first needed, and shut down with the block unless it was up
            before. A board that counts instructions itself is taken as it is. None or `local:`: this machine, by time.
        budget_s: how long a board may take for the answers of one model.

    Raises:
        UnsupportedError: `address` is another kind of device.
        UnknownNameError: there is no such board, nor a target of that name.
    """
    if _is_this_machine(address):
        yield HostTiming()
        return
    assert address is not None
    if not address.startswith("board:"):
        raise UnsupportedError(
            f"speed is not judged on {address}",
            why="the device would need a release for that, and nothing is installed before a push",
            hint="give --on board:rpi4, or leave it out to take this machine's time; ship judges on the device itself",
        )
    with contextlib.ExitStack() as stack:
        yield GuestInstructions(address, stack, progress, budget_s=budget_s)


@contextlib.contextmanager
def judges(
    address: str | None,
    *,
    target: Target | None = None,
    model_format: ModelFormat = "onnx",
    before_push: bool = False,
    progress: Progress = SILENT,
) -> Iterator[Judges]:
    """Open what `speed_judge` gives; an emulated board judges the answers as well as the speed.

    Args:
        address: as `speed_judge` takes it.
        target: what the result is for. A board whose target cannot have the runtime of both models judges nothing.
        model_format: of source and result.
        before_push: what is let through is pushed, and runs over all of the data there. A device that judges speed for
            itself does so then: nobody judges until then.

    Raises:
        UnsupportedError, UnknownNameError: as `speed_judge`.
    """
    if before_push and address is not None and judges_itself(address):
        yield Judges(speed=None, board=None, unjudged=f"{address} judges it itself, once the result is there")
        return
    runtime = _RUNTIMES[model_format]
    if not _is_this_machine(address) and target is not None and runtime not in target.backends:
        why = f"{target.name} cannot have {runtime}, in which the float model and the result would be compared"
        yield Judges(speed=None, board=None, unjudged=why)
        return
    budget_s = _BEFORE_PUSH_BUDGET_S if before_push else _BUDGET_S
    with speed_judge(address, budget_s=budget_s, progress=progress) as judge:
        yield Judges(speed=judge, board=judge if isinstance(judge, GuestInstructions) else None)


def judges_itself(address: str) -> bool:
    """Return whether a device judges speed by its own clock, once a release is there."""
    return not address.startswith(("local:", "board:"))


def _is_this_machine(address: str | None) -> bool:
    return address is None or address.startswith("local:")
