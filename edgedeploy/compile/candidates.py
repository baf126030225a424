"""Chooses the backends that are tried for a model on a target."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edgedeploy.compile.protocol import Backend
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.targets.backends import backend_module, backend_names, find_backend
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.target import Target


class Candidate(Struct, frozen=True):
    """A backend that can be tried."""

    name: str
    backend: Backend
    why: str
    """Why it is tried: empty where the user named it."""


def candidates(name: str, target: Target, format: ModelFormat) -> tuple[Candidate, ...]:
    """List the backends to be tried, in order: the one called `name`, or with `"auto"` those that the target lists and
    that run models of this format. Targets list them as they measured, best first (docs/bench_backends.md).

    Raises:
        UnsupportedError: there is no such backend, or none can serve the target and the format.
    """
    return _preferred(target, format) if name == "auto" else (_named(name, target, format),)


def _named(name: str, target: Target, format: ModelFormat) -> Candidate:
    facts = find_backend(name)
    if facts is None:
        raise UnsupportedError(f"there is no backend {name!r}", why=f"there are: {', '.join(backend_names())}")
    backend = _load(name)
    if name not in target.backends:
        reason: str | None = f"the target lists {', '.join(target.backends) or 'none'}"
    else:
        reason = _unsupported_reason(facts, backend, target, format)
    if reason is not None:
        raise UnsupportedError(f"the backend {name} cannot serve target {target.name!r}", why=reason)
    return Candidate(name, backend, "")


def _preferred(target: Target, format: ModelFormat) -> tuple[Candidate, ...]:
    found: list[Candidate] = []
    refusals: list[str] = []
    for name in target.backends:
        facts = find_backend(name)
        if facts is None:
            # A target may be newer than this edgedeploy, or somebody's own.
            refusals.append(f"{name}: this edgedeploy has no such backend")
            continue
        backend = _load(name)
        if reason := _unsupported_reason(facts, backend, target, format):
            refusals.append(f"{name}: {reason}")
        else:
            found.append(Candidate(name, backend, _why(target, refusals)))
    if not found:
        raise UnsupportedError(
            f"target {target.name!r} has no backend for this .{format} model",
            why="; ".join(refusals) or "its file lists none",
        )
    return tuple(found)


def _why(target: Target, refusals: Sequence[str]) -> str:
    if len(target.backends) == 1:
        return f"the only one that {target.name} can have"
    preference = f"the first that can, of {', '.join(target.backends)}, as they measured on {target.name}"
    return "; ".join((preference, *refusals))


def _load(name: str) -> Backend:
    backend: Backend = backend_module(name).BACKEND
    return backend


def _unsupported_reason(facts: BackendFacts, backend: Backend, target: Target, format: ModelFormat) -> str | None:
    return facts.unsupported_reason(target.architecture, format) or backend.unsupported_reason(target, format)
