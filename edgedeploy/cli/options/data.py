"""Options about data: how pictures are prepared, and what is done with samples that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgedeploy.cli.completion import complete_preset

Command = TypeVar("Command", bound=Callable[..., Any])


def data_options(command: Command) -> Command:
    """Add `--preset` and `--skip-broken`, as the parameters `preset` and `skip_broken`."""
    for option in (_SKIP_BROKEN, _PRESET):
        command = option(command)
    return command


_PRESET = click.option(
    "--preset",
    metavar="NAME",
    default="",
    shell_complete=complete_preset,
    help="How DATA is prepared for the model, where it is files as pictures and a data.toml does not say so: imagenet, "
    "yolo, clip, …",
)
_SKIP_BROKEN = click.option(
    "--skip-broken",
    is_flag=True,
    help="Leave out samples that cannot be read, count and list them, instead of ending with an error.",
)
