"""The passes there are: every module of these folders that defines one. Adding a pass is adding a module."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from edgedeploy.optimize import fuse, prune, quantize, recover, simplify
from edgedeploy.optimize.base import Pass

_FOLDERS = (simplify, fuse, quantize, recover, prune)


@functools.cache
def pass_types() -> tuple[type[Pass], ...]:
    """Return all classes of passes, by name."""
    found: list[type[Pass]] = []
    modules = (info for folder in _FOLDERS for info in pkgutil.walk_packages(folder.__path__, folder.__name__ + "."))
    for info in modules:
        module = importlib.import_module(info.name)
        found += [
            member
            for member in vars(module).values()
            if isinstance(member, type) and issubclass(member, Pass) and member.__module__ == module.__name__
        ]
    return tuple(sorted(found, key=lambda kind: kind.title()))
