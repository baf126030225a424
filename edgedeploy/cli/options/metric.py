"""Options about metrics: what reads the outputs for them, and how much worse they may get."""

from __future__ import annotations

import click

from edgedeploy.cli.completion import complete_head

head_option = click.option(
    "--head",
    metavar="KIND|FILE.toml",
    shell_complete=complete_head,
    help="What turns the model's outputs into boxes, masks, points or text, for metrics that need it: yolov8, detr, "
    "ctc, …, package.module:function, or a file with the keys of [head].",
)


class DropType(click.ParamType[str]):
    """A number of at least 0, or one with %."""

    name = "drop"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NUMBER|N%"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from edgedeploy.foundation.errors import UnsupportedError
        from edgedeploy.values.drop import drop_of

        try:
            return str(drop_of(str(value)))
        except UnsupportedError:
            self.fail(f"{value!r} is no number of at least 0, nor a percentage such as 2%", param, ctx)
