"""Recipes: ordered lists of passes with their settings, one TOML file each.

title = "…"             one line
description = "…"       what it does, when to use it, what it costs
[[passes]]
name = "fold-constants"
…                       the pass's settings
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Union

import msgspec
from msgspec import Struct

from edgedeploy import data_files
from edgedeploy.errors import InvalidFileError
from edgedeploy.optimize.contract import Pass
from edgedeploy.optimize.registry import pass_types
from edgedeploy.toml_file import load_toml


class Recipe(Struct, frozen=True, kw_only=True):
    """One recipe, its passes validated and built."""

    name: str
    """Of the file, without `.toml`."""
    title: str
    description: str
    passes: tuple[Pass, ...]

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
    """What a recipe file holds. Made from the passes that exist, so a new pass needs no list to be edited."""
    one_pass = Union[pass_types()]  # type: ignore[valid-type]  # noqa: UP007
    return msgspec.defstruct(
        "RecipeFile",
        [("title", str), ("description", str), ("passes", tuple[one_pass, ...])],  # type: ignore[valid-type]
        frozen=True,
        forbid_unknown_fields=True,
    )


def load_recipe(name_or_path: str) -> Recipe:
    """The recipe of that name, or the one in the file at that path (it ends in `.toml` or has a `/`).

    Raises:
        UnknownNameError: there is no recipe of that name.
        InvalidFileError: the file is missing, or has an unknown key, pass or setting, or a value of the wrong type;
            names file, line and key.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path
    path = Path(name_or_path) if is_path else data_files.find("quantize", name_or_path)
    content = load_toml(path, _file_kind())
    if not content.passes:
        raise InvalidFileError(f"{path}:1: passes: a recipe has at least one", mend="add a [[passes]] table")
    return Recipe(
        name=path.stem,
        title=content.title,
        description=content.description.strip(),
        passes=content.passes,
    )


def recipe_names() -> tuple[str, ...]:
    """The recipes there are: the user's own and those that edgedeploy ships, sorted."""
    return data_files.names("quantize")
