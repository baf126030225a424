"""What has to be done before the process is ended by force: where it was told to stop, and a library does not return.

Python runs no handler of a signal, and so no `finally`, while a library in C computes. See `cli.signals`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

_steps: dict[object, Callable[[int], object]] = {}


@contextlib.contextmanager
def at_forced_end(step: Callable[[int], object]) -> Iterator[None]:
    """Have `step` done if the process is ended by force while the block lasts; the block itself does it otherwise.

    Args:
        step: is called in another thread with the exit code that the process will have, and must be short. Its errors
            are not looked at.
    """
    key = object()
    _steps[key] = step
    try:
        yield
    finally:
        del _steps[key]


def run_steps(exit_code: int) -> None:
    """Do what is asked for, the newest first.

    Args:
        exit_code: that the process will have.
    """
    for step in reversed(list(_steps.values())):
        with contextlib.suppress(Exception):
            step(exit_code)
