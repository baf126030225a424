"""The option `--input-shape NAME=1x3x48x192` of several commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def input_shape_option(purpose: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the option. The command gets it as the parameter `input_shapes`.

    Its value is a dictionary, e.g. `{"x": (1, 3, 48, 192)}`.
    """
    return click.option(
        "--input-shape",
        "input_shapes",
        callback=_input_shapes,
        multiple=True,
        metavar="NAME=1x3x48x192",
        help=f"{purpose} Repeat it for more inputs.",
    )


def _input_shapes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Parse `("x=1x3x48x192",)` to `{"x": (1, 3, 48, 192)}`."""
    shapes = {}
    for value in values:
        name, _, extents = value.rpartition("=")
        try:
            shape = tuple(int(extent) for extent in extents.split("x"))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise click.BadParameter(f"{value!r} does not have the form NAME=1x3x48x192", ctx, param)
        shapes[name] = shape
    return shapes
