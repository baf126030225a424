"""The threshold options of commands that compare figures with earlier ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = {
    "instructions": ("0.5", "Growth in instructions per inference that counts as a regression."),
    "latency": ("5", "Growth in p50 latency that counts as a regression, unless its noise is larger."),
    "memory": ("5", "Growth in peak memory that counts as a regression, unless its noise is larger."),
    "size": ("1", "Growth of the model file that counts as a regression."),
}


def threshold_options(command: Command) -> Command:
    """Add the options to a command, each in percent. It gets the parameter `thresholds`, a `Thresholds` of shares."""

    @functools.wraps(command)
    def with_thresholds(**given: Any) -> Any:
        from edgedeploy.values.baseline import Thresholds

        shares = {name: given.pop(name) / 100 for name in _OPTIONS}
        return command(**given, thresholds=Thresholds(**shares))

    for name, (default, help_text) in reversed(_OPTIONS.items()):
        with_thresholds = click.option(
            f"--{name}",
            type=click.FloatRange(0, 1000),
            default=default,
            show_default=True,
            metavar="PERCENT",
            help=help_text,
        )(with_thresholds)
    return cast(Command, with_thresholds)
