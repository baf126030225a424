"""How every command takes a device: as an argument, or as the option `--to` or `--on`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from edgedeploy.cli.completion import complete_device

_FORMS = "ssh://user@host:port, a name in ~/.ssh/config, board:NAME or local:"
_SAME = f"The same as the argument DEVICE: {_FORMS}."


def device_argument(
    *, required: bool = True, option_metavar: str = "DEVICE", option_help: str = _SAME
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the argument DEVICE, and the options `--to` and `--on` that stand for it.

    The command gets it as the parameter `device`: an address, or None where it is not required and not given. The
    place of the decorator among those of other arguments is the argument's place.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(*args: Any, device: str | None, device_option: str | None, **more: Any) -> Any:
            return command(*args, device=_the_one(device, device_option, required=required), **more)

        argument = click.argument(
            "device",
            required=False,
            metavar="DEVICE" if required else "[DEVICE]",
            shell_complete=complete_device,
        )
        option = click.option(
            "--to",
            "--on",
            "device_option",
            metavar=option_metavar,
            shell_complete=complete_device,
            help=option_help,
        )
        return argument(option(wrapped))

    return decorate


def _the_one(argument: str | None, option: str | None, *, required: bool) -> str | None:
    if argument is not None and option is not None and argument != option:
        raise click.UsageError(f"there are two devices: {argument} and {option} (--to)")
    found = argument if option is None else option
    if found is None and required:
        raise click.MissingParameter(f"It is {_FORMS}.", param_type="argument", param_hint="'DEVICE'")
    return found
