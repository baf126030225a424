"""Backends, one module each. Adding one is adding its module and its name here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from msgspec import Struct

from edgedeploy.compile.backends.protocol import Backend
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.values.target import Target

NAMES = ("onnxruntime", "onnxruntime-c", "tflite", "native")


class Candidate(Struct, frozen=True):
    """A backend that says it can do it."""

    backend: Backend
    why: str
    """Why it is tried: empty where the user named it."""


def candidates(name: str, target: Target, format: ModelFormat) -> tuple[Candidate, ...]:
    """The backends to be tried, in order: the one called `name`, or with `"auto"` those that the target lists and that
    run models of this format. Targets list them as they measured, best first (docs/bench_backends.md).

    Raises:
        UnsupportedError: there is no such backend, or none can serve the target and the format.
    """
    if name != "auto":
        backend = _load(name)
        if reason := _refusal(backend, target, format):
            raise UnsupportedError(f"the backend {name} cannot serve target {target.name!r}", why=reason)
        return (Candidate(backend, ""),)
    found: list[Candidate] = []
    refusals: list[str] = []
    for each in target.backends:
        if each not in NAMES:
            # A target may be newer than this edgedeploy, or somebody's own.
            refusals.append(f"{each}: this edgedeploy has no such backend")
            continue
        backend = _load(each)
        if reason := _refusal(backend, target, format):
            refusals.append(f"{each}: {reason}")
        else:
            found.append(Candidate(backend, _because(target, refusals)))
    if not found:
        raise UnsupportedError(
            f"target {target.name!r} has no backend for this .{format} model",
            why="; ".join(refusals) or "its file lists none",
        )
    return tuple(found)


def _because(target: Target, refusals: Sequence[str]) -> str:
    if len(target.backends) == 1:
        return f"the only one that {target.name} can have"
    request = f"the first that can, of {', '.join(target.backends)}, as they measured on {target.name}"
    return "; ".join((request, *refusals))


def _load(name: str) -> Backend:
    if name not in NAMES:
        raise UnsupportedError(f"there is no backend {name!r}", why=f"there are: {', '.join(NAMES)}")
    backend: Backend = importlib.import_module(f"edgedeploy.compile.backends.{name.replace('-', '_')}").BACKEND
    return backend


def _refusal(backend: Backend, target: Target, format: ModelFormat) -> str | None:
    if backend.name not in target.backends:
        return f"the target lists {', '.join(target.backends) or 'none'}"
    return backend.unsupported_reason(target, format)
