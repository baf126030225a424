"""Backends, one module each. Adding one is adding its module and its name here."""

from __future__ import annotations

import importlib

from edgedeploy.compile.backends.protocol import Backend
from edgedeploy.errors import UnsupportedError
from edgedeploy.values.target import Target

NAMES = ("onnxruntime",)


def choose_backend(name: str, target: Target) -> Backend:
    """The backend called `name`; `"auto"` takes the first that the target lists and that edgedeploy has.

    Raises:
        UnsupportedError: there is no such backend, or the target cannot have it.
    """
    fitting = [each for each in target.backends if each in NAMES]
    if name == "auto":
        if not fitting:
            raise UnsupportedError(
                f"target {target.name!r} has no backend that edgedeploy can build for",
                why=f"it lists {', '.join(target.backends) or 'none'}; there are: {', '.join(NAMES)}",
            )
        name = fitting[0]
    if name not in NAMES:
        raise UnsupportedError(f"there is no backend {name!r}", why=f"there are: {', '.join(NAMES)}")
    if name not in fitting:
        raise UnsupportedError(
            f"target {target.name!r} cannot have the backend {name}",
            why=f"it lists {', '.join(target.backends) or 'none'}",
        )
    backend: Backend = importlib.import_module(f"edgedeploy.compile.backends.{name}").BACKEND
    if reason := backend.refuses(target):
        raise UnsupportedError(f"the backend {name} cannot serve target {target.name!r}", why=reason)
    return backend
