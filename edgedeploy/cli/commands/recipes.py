"""`edgedeploy recipes`: list recipes, or show one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import Struct

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_recipe
from edgedeploy.cli.listing import bad_lines, read_each
from edgedeploy.cli.output import Output, common_options

if TYPE_CHECKING:
    from rich.console import RenderableType


class RecipeLine(Struct, frozen=True, kw_only=True):
    """A recipe in the list: one element of the JSON array that `--json` prints."""

    name: str
    title: str
    needs_calibration: bool
    passes: tuple[str, ...]


@click.command(
    name="recipes",
    epilog=examples(
        "edgedeploy recipes",
        "edgedeploy recipes int8",
    ),
)
@click.argument("name", required=False, metavar="[NAME|FILE]", shell_complete=complete_recipe)
@common_options
def command(name: str | None, out: Output) -> int:
    """List the recipes; with NAME or FILE, show one recipe with its passes and their settings."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from edgedeploy import api

    if name is None:
        recipes, bad = read_each(api.recipe_names(), api.load_recipe)
        table = Table(box=None, show_header=False, pad_edge=False)
        for recipe in recipes:
            table.add_row(recipe.name, recipe.title)
        lines = [
            RecipeLine(
                name=recipe.name,
                title=recipe.title,
                needs_calibration=recipe.needs_calibration,
                passes=tuple(step.title() for step in recipe.passes),
            )
            for recipe in recipes
        ]
        out.result([*lines, *bad], Group(table, *bad_lines(bad)))
        return 0
    recipe = api.load_recipe(name)
    shown: list[RenderableType] = [Text(f"{recipe.name}: {recipe.title}\n\n{_flowing(recipe.description)}\n")]
    for number, step in enumerate(recipe.passes, start=1):
        shown.append(Text(f"{number:>2}  {step.title()}"))
        summary = (type(step).__doc__ or "").strip().splitlines()[0]
        settings = [f"{field} = {_toml(getattr(step, field))}" for field in step.__struct_fields__]
        shown.append(Padding(Text("\n".join((summary, *settings))), (0, 0, 0, 4)))
    out.result(recipe, Group(*shown))
    return 0


def _flowing(text: str) -> str:
    """Join the lines of each paragraph: where they break in the file is not where they break in a terminal."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _toml(value: object) -> str:
    import json

    import msgspec

    # With spaces behind commas: a long list is broken there, and not in a name.
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
