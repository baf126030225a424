"""The registry of backends: finds the modules of `compile/backends/` and reads what each declares.

A backend is one module there with two names: `FACTS`, a `BackendFacts`, and `BACKEND`, which builds
(`edgedeploy.compile.protocol.Backend`). Nothing else has to be changed to add one.

Targets, measuring and the doctor ask for facts, and stand below or beside `compile`, which they may not import. So the
registry is a plug-in loader: it knows the name of a package and the type of a value, and imports nothing of `compile`
by itself. Facts passed in from above would have changed the signature of `push`, `probe` and `profile`; a table here
would have been a second place to change. Reading facts is cheap: a backend's module imports onnx, onnxruntime and numpy
only while it builds.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from edgedeploy.foundation.plugins import declared
from edgedeploy.values.backend import BackendFacts, Format
from edgedeploy.values.target import Target

_PACKAGE = "edgedeploy.compile.backends"


def backends() -> tuple[BackendFacts, ...]:
    """List the facts of every backend, by rank."""
    found: tuple[BackendFacts, ...] = declared(_PACKAGE, "FACTS")
    return tuple(sorted(found, key=lambda facts: (facts.rank, facts.name)))


def backend_names() -> tuple[str, ...]:
    """List the names of every backend, by rank."""
    return tuple(facts.name for facts in backends())


def find_backend(name: str) -> BackendFacts | None:
    """Return the facts of the backend called `name`; None when this edgedeploy has none.

    A target or a release on a device may name one of a newer edgedeploy.
    """
    return next((facts for facts in backends() if facts.name == name), None)


def usable_backends(target: Target, format: Format, *, text: bool = False) -> tuple[BackendFacts, ...]:
    """List the backends that a target can have for a model, in the target's order: no hint offers another one.

    Args:
        format: of the model.
        text: an input or output of the model is text.
    """
    listed = (find_backend(name) for name in target.backends)
    return tuple(
        facts
        for facts in listed
        if facts is not None
        and facts.unsupported_reason(target.architecture, format) is None
        and (facts.text or not text)
    )


def backend_module(name: str) -> ModuleType:
    """Return the module of a backend that `find_backend` knows."""
    return importlib.import_module(f"{_PACKAGE}.{name.replace('-', '_')}")


def runs_onnxruntime_operators(target: Target) -> bool:
    """Tell whether an ONNX model may have onnxruntime's own operators there: the backend that comes first runs them."""
    facts = find_backend(target.backends[0]) if target.backends else None
    return facts is not None and facts.onnxruntime_operators
