"""Recipes: ordered lists of passes with their settings, one TOML file each.

title = "…"             one line
description = "…"       what it does, when to use it, what it costs
[[passes]]
name = "fold-constants"
…                       the pass's settings

A recipe with variants is a search: its passes prepare the model, then each variant is tried and the best that keeps
the budget is taken.

[[variants]]
name = "int8"
mixed = true            layers that cost too much accuracy may stay in float
passes = [{ name = "quantize-static" }, …]
[pruning]               tried before the best variants
pass = { name = "prune-channels", … }
ratios = [0.1, 0.2]     takes the place of the pass's setting `ratio`
[[finish]]              passes, after each variant
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Union

import msgspec
from msgspec import Struct

from edgedeploy.foundation import resources as data_files
from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.toml_file import load_toml
from edgedeploy.optimize.base import Pass
from edgedeploy.optimize.recipes.registry import pass_types


class Variant(Struct, frozen=True, kw_only=True):
    """One way to go on after the preparation of a search."""

    name: str
    passes: tuple[Pass, ...]
    mixed: bool = False
    """Whether layers may stay in float where that is what keeps the budget: passes that take `keep_float` get it."""


class Pruning(Struct, frozen=True, kw_only=True):
    """What a search removes before the best variants."""

    step: Pass
    """Takes a setting `ratio`."""
    ratios: tuple[float, ...]


class Recipe(Struct, frozen=True, kw_only=True):
    """One recipe, its passes validated and built."""

    name: str
    """Of the file, without `.toml`."""
    title: str
    description: str
    passes: tuple[Pass, ...]
    variants: tuple[Variant, ...] = ()
    pruning: Pruning | None = None
    finish: tuple[Pass, ...] = ()

    @property
    def is_search(self) -> bool:
        """Whether it has variants to choose from."""
        return bool(self.variants)

    @property
    def needs_calibration(self) -> bool:
        """Whether a pass of it has to see data."""
        return any(step.needs_calibration for step in self.passes)

    @property
    def tolerance(self) -> float | None:
        """How far the outputs may move in all, relative to the largest; None when the recipe changes results."""
        tolerances = [step.tolerance for step in self.passes]
        known = [tolerance for tolerance in tolerances if tolerance is not None]
        return sum(known) if len(known) == len(tolerances) else None


@functools.cache
def _file_kind() -> Any:
    """Make the type of a recipe file's content from the passes that exist.

    So a new pass needs no list to be edited.
    """
    one_pass: Any = Union[pass_types()]  # noqa: UP007
    strict: Any = {"frozen": True, "forbid_unknown_fields": True, "kw_only": True}
    variant: Any = msgspec.defstruct(
        "VariantTable", [("name", str), ("passes", tuple[one_pass, ...]), ("mixed", bool, False)], **strict
    )
    pruning: Any = msgspec.defstruct(
        "PruningTable", [("step", one_pass, msgspec.field(name="pass")), ("ratios", tuple[float, ...])], **strict
    )
    return msgspec.defstruct(
        "RecipeFile",
        [
            ("title", str),
            ("description", str),
            ("passes", tuple[one_pass, ...]),
            ("variants", tuple[variant, ...], ()),
            ("pruning", pruning | None, None),
            ("finish", tuple[one_pass, ...], ()),
        ],
        **strict,
    )


def load_recipe(name_or_path: str) -> Recipe:
    """Load the recipe of that name, or the one in the file at that path (it ends in `.toml` or has a `/`).

    Raises:
        UnknownNameError: there is no recipe of that name.
        InvalidFileError: the file is missing, or has an unknown key, pass or setting, or a value of the wrong type;
            names file, line and key.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path
    path = Path(name_or_path) if is_path else data_files.find("quantize", name_or_path)
    content = load_toml(path, _file_kind())
    if not content.passes:
        raise InvalidFileError(f"{path}:1: passes: a recipe has at least one", hint="add a [[passes]] table")
    if not content.variants and (content.pruning or content.finish):
        raise InvalidFileError(
            f"{path}:1: variants: a recipe with `pruning` or `finish` is a search, and has none to try",
            hint="add a [[variants]] table",
        )
    names = [variant.name for variant in content.variants]
    if twice := sorted(name for name in set(names) if names.count(name) > 1):
        raise InvalidFileError(f"{path}:1: variants: two are called {twice[0]!r}", hint="give each a name of its own")
    pruning = content.pruning
    if pruning is not None and not hasattr(pruning.step, "ratio"):
        raise InvalidFileError(f"{path}:1: pruning.pass: {pruning.step.title()} has no setting `ratio`")
    return Recipe(
        name=path.stem,
        title=content.title,
        description=content.description.strip(),
        passes=content.passes,
        variants=tuple(Variant(name=table.name, passes=table.passes, mixed=table.mixed) for table in content.variants),
        pruning=Pruning(step=pruning.step, ratios=pruning.ratios) if pruning else None,
        finish=content.finish,
    )


def recipe_names() -> tuple[str, ...]:
    """Return the recipes there are: the user's own and those that edgedeploy ships, sorted."""
    return data_files.names("quantize")
