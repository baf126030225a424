"""The threshold options of commands that compare figures with earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = {
    "instructions": ("0.5", "Growth in instructions per inference that counts as a regression."),
    "latency": ("5", "Growth in p50 latency that counts as a regression, unless its noise is larger."),
    "memory": ("5", "Growth in peak memory that counts as a regression, unless its noise is larger."),
    "size": ("1", "Growth of the model file that counts as a regression."),
}


def threshold_options(command: Command) -> Command:
    """Add the options to a command: `instructions`, `latency`, `memory` and `size`.

    Each is in percent, that is, a field of `Thresholds` times 100.
    """
    for name, (default, help_text) in reversed(_OPTIONS.items()):
        option = click.option(
            f"--{name}",
            type=click.FloatRange(0, 1000),
            default=default,
            show_default=True,
            metavar="PERCENT",
            help=help_text,
        )
        command = option(command)
    return command
