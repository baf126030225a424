"""`edgedeploy recipes`: list recipes, or show one."""

from __future__ import annotations

import click
from msgspec import Struct

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_recipe
from edgedeploy.cli.listing import bad_lines, read_each
from edgedeploy.cli.output import Output, common_options


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
    lines_of_passes: list[str] = []
    for number, step in enumerate(recipe.passes, start=1):
        summary = (type(step).__doc__ or "").strip().splitlines()[0]
        lines_of_passes.append(f"{number:>2}  {step.title():<29} {summary}")
        lines_of_passes += [f"      {field} = {_toml(getattr(step, field))}" for field in step.__struct_fields__]
    text = f"{recipe.name}: {recipe.title}\n\n{recipe.description}\n\n" + "\n".join(lines_of_passes)
    out.result(recipe, Text(text, no_wrap=True, overflow="ignore"))
    return 0


def _toml(value: object) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()
