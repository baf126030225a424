"""Options about metrics: how much worse they may get."""

from __future__ import annotations

import click


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
