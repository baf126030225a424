"""Chooses the backends that are tried for a model on a target."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edgedeploy.compile.protocol import Backend
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.inference.element_types import TEXT, travels
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.targets.backends import backend_module, backend_names, find_backend, usable_backends
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target


class Candidate(Struct, frozen=True):
    """A backend that can be tried."""

    name: str
    backend: Backend
    why: str
    """Why it is tried: empty where the user named it."""
    alternatives: tuple[str, ...] = ()
    """Other backends for the same target and model, where the user named this one. With `auto` they are tried too."""


def candidates(
    name: str, target: Target, format: ModelFormat, model: ModelFacts | None = None
) -> tuple[Candidate, ...]:
    """List the backends to be tried, in order: the one called `name`, or with `"auto"` those that the target lists and
    that run models of this format. Targets list them as they measured, best first (docs/bench_backends.md).

    Args:
        model: that is compiled, where it is known: its inputs and outputs may be of types that a backend does not take.

    Raises:
        UnsupportedError: there is no such backend, or none can serve the target, the format and the model.
    """
    text = _text_of(model)
    return _preferred(target, format, text) if name == "auto" else (_named(name, target, format, text),)


def check_element_types(model: ModelFacts) -> None:
    """Check that the inputs and outputs of a model are of types that datasets, golden samples and messages can hold.

    Raises:
        UnsupportedError: one is not.
    """
    for side, tensors in (("input", model.inputs), ("output", model.outputs)):
        for tensor in tensors:
            if not travels(tensor.dtype) and tensor.dtype != _NOT_DECLARED:
                raise UnsupportedError(
                    f"{side} {tensor.name!r} is of type {tensor.dtype}, which cannot be sent to a device or back",
                    why="golden samples and messages hold integers of 8 to 64 bits, floats of 16 to 64, bool and text",
                    hint=f"export the model with float32 as this {side}, and a Cast behind it"
                    if side == "input"
                    else "export the model with a Cast to float32 before this output",
                )


_NOT_DECLARED = "undefined"
"""Of outputs whose type the file leaves out; onnxruntime infers it."""


def _text_of(model: ModelFacts | None) -> str:
    """Return which input or output is text, in words; empty where none is."""
    if model is None:
        return ""
    for side, tensors in (("input", model.inputs), ("output", model.outputs)):
        for tensor in tensors:
            if tensor.dtype == TEXT:
                return f"{side} {tensor.name!r}"
    return ""


def _named(name: str, target: Target, format: ModelFormat, text: str) -> Candidate:
    facts = find_backend(name)
    if facts is None:
        raise UnsupportedError(
            f"there is no backend {name!r}",
            why=f"there are: {', '.join(backend_names())}",
            hint=did_you_mean(name, ("auto", *backend_names())),
        )
    backend = _load(name)
    if name not in target.backends:
        reason: str | None = f"the target lists {', '.join(target.backends) or 'none'}"
    else:
        reason = _unsupported_reason(facts, backend, target, format, text)
    if reason is not None:
        others = alternatives(name, target, format, text=bool(text))
        raise UnsupportedError(
            f"the backend {name} cannot serve target {target.name!r}",
            why=reason,
            hint=_without_text(target, format) if text and not facts.text else offer(others),
        )
    return Candidate(name, backend, "", alternatives(name, target, format, text=bool(text)))


def alternatives(name: str, target: Target, format: ModelFormat, *, text: bool = False) -> tuple[str, ...]:
    """List the backends beside the one called `name` that the target can have for such a model."""
    usable = [facts.name for facts in usable_backends(target, format, text=text) if facts.name != name]
    return tuple(each for each in usable if _load(each).unsupported_reason(target, format) is None)


def offer(names: Sequence[str]) -> str:
    """Return the hint that names other backends; empty where there are none."""
    return f"take another backend: --backend {' or '.join(names)}" if names else ""


def _preferred(target: Target, format: ModelFormat, text: str) -> tuple[Candidate, ...]:
    found: list[Candidate] = []
    refusals: list[str] = []
    for name in target.backends:
        facts = find_backend(name)
        if facts is None:
            # A target may be newer than this edgedeploy, or somebody's own.
            refusals.append(f"{name}: this edgedeploy has no such backend")
            continue
        backend = _load(name)
        if reason := _unsupported_reason(facts, backend, target, format, text):
            refusals.append(f"{name}: {reason}")
        else:
            found.append(Candidate(name, backend, _why(target, refusals)))
    if not found:
        raise UnsupportedError(
            f"target {target.name!r} has no backend for this .{format} model",
            why="; ".join(refusals) or "its file lists none",
            hint=_without_text(target, format) if text else "",
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


def _unsupported_reason(
    facts: BackendFacts, backend: Backend, target: Target, format: ModelFormat, text: str
) -> str | None:
    if reason := facts.unsupported_reason(target.architecture, format):
        return reason
    if text and not facts.text:
        return f"it carries no text, and {text} is text"
    return backend.unsupported_reason(target, format)


def _without_text(target: Target, format: ModelFormat) -> str:
    """Return what to do for a model with text where the backend carries none."""
    carrying = [facts.name for facts in usable_backends(target, format, text=True)]
    encoded = "export the model from the numbers on that the text is turned into, and turn it in the application"
    return f"--backend {carrying[0]}, or {encoded}" if carrying else encoded
