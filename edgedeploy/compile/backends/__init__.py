"""Backends, one module each. Adding one is adding its module and its name here."""

from __future__ import annotations

import importlib

from edgedeploy.compile.backends.protocol import Backend
from edgedeploy.errors import UnsupportedError
from edgedeploy.sessions import ModelFormat
from edgedeploy.values.target import Target

NAMES = ("onnxruntime", "tflite")


def choose_backend(name: str, target: Target, format: ModelFormat) -> Backend:
    """The backend called `name`; `"auto"` takes the first that the target lists and that runs models of this format.

    Raises:
        UnsupportedError: there is no such backend, or it cannot serve the target or the format.
    """
    if name != "auto":
        backend = _load(name)
        if reason := _refusal(backend, target, format):
            raise UnsupportedError(f"the backend {name} cannot serve target {target.name!r}", why=reason)
        return backend
    refusals = []
    for each in target.backends:
        backend = _load(each)
        reason = _refusal(backend, target, format)
        if reason is None:
            return backend
        refusals.append(f"{each}: {reason}")
    raise UnsupportedError(
        f"target {target.name!r} has no backend for this .{format} model",
        why="; ".join(refusals) or "its file lists none",
    )


def _load(name: str) -> Backend:
    if name not in NAMES:
        raise UnsupportedError(f"there is no backend {name!r}", why=f"there are: {', '.join(NAMES)}")
    backend: Backend = importlib.import_module(f"edgedeploy.compile.backends.{name}").BACKEND
    return backend


def _refusal(backend: Backend, target: Target, format: ModelFormat) -> str | None:
    if backend.name not in target.backends:
        return f"the target lists {', '.join(target.backends) or 'none'}"
    return backend.refuses(target, format)
