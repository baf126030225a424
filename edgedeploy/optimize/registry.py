"""The passes there are: every module in `passes/` that defines one. Adding a pass is adding a module."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from edgedeploy.optimize import passes
from edgedeploy.optimize.base import Pass


@functools.cache
def pass_types() -> tuple[type[Pass], ...]:
    """All classes of passes, by name."""
    found: list[type[Pass]] = []
    for module_info in pkgutil.iter_modules(passes.__path__, passes.__name__ + "."):
        module = importlib.import_module(module_info.name)
        found += [
            member
            for member in vars(module).values()
            if isinstance(member, type) and issubclass(member, Pass) and member.__module__ == module.__name__
        ]
    return tuple(sorted(found, key=lambda kind: kind.title()))
