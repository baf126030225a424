"""Finds what the modules of a package declare: adding a module is all that it takes to add one."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any


def declared(package: str, attribute: str) -> tuple[Any, ...]:
    """Return the value that each module of a package has under one name, in the order of the modules' names.

    Each value has a `name`, which is its module's, with `-` for `_`.

    Args:
        package: e.g. `"edgedeploy.compile.backends"`.
        attribute: e.g. `"FACTS"`.
    """
    return _declared(package, tuple(importlib.import_module(package).__path__), attribute)


@functools.cache
def _declared(package: str, path: tuple[str, ...], attribute: str) -> tuple[Any, ...]:
    # The path is a part of the key: a package can get another folder.
    found = []
    for module in pkgutil.iter_modules(path):
        value = getattr(importlib.import_module(f"{package}.{module.name}"), attribute)
        assert value.name.replace("-", "_") == module.name, f"{module.name} declares one called {value.name}"
        found.append(value)
    return tuple(found)
