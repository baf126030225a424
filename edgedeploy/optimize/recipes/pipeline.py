"""Runs the passes of a recipe, one after the other, and lets none of them break the model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.model_comparison import relative_difference
from edgedeploy.optimize.base import Context, Pass, PostconditionError
from edgedeploy.optimize.graph.edit import copy_of, serialized, validation_error
from edgedeploy.optimize.recipes.reach import reach_of
from edgedeploy.optimize.recipes.skips import skip_of
from edgedeploy.values.evidence import PassEvidence

_log = logging.getLogger(__name__)


def run_passes(model: ir.Model, passes: Sequence[Pass], context: Context) -> tuple[ir.Model, tuple[PassEvidence, ...]]:
    """Apply `passes` in order. A pass that refuses, fails or breaks its promise leaves the model as it was before it.

    `model` stays as it was too, but for the names that its weights carry themselves: where it was read from a proto,
    that proto is not to be used afterwards.

    Raises:
        EdgedeployError: a fact about the user's world that a pass met, such as a dataset that does not fit.
    """
    state = _State(model, context)
    evidence: list[PassEvidence] = []
    for number, step in enumerate(passes, start=1):
        context.progress.step(f"{step.title()} ({number} of {len(passes)})")
        evidence.append(state.apply(step))
        if evidence[-1].refused:
            context.progress.note(f"{step.title()} left the model as it was: {evidence[-1].refused}")
    return state.model, tuple(evidence)


class _State:
    """The model between two passes, and what it answers to the probes."""

    def __init__(self, model: ir.Model, context: Context) -> None:
        self.model = model
        self._context = context
        self._bytes = serialized(model)
        # Exporters write files that onnxruntime runs and onnx does not call valid; a pass need not mend them.
        self._was_valid = validation_error(self._bytes) is None
        self._answers: list[list[np.ndarray]] | None = None

    def apply(self, step: Pass) -> PassEvidence:
        if (reason := step.requires(self.model, self._context)) is not None:
            return self._refusal(step, reason)
        if step.quantizes and self._context.reference is None:
            self._context.reference = self._bytes
        elif step.renames and self._context.reference is not None and self._context.before_renaming is None:
            self._context.before_renaming = self._bytes
        try:
            after, facts = step.call(copy_of(self.model), self._context)
            content = serialized(after)
            if hashlib.sha256(content).digest() == hashlib.sha256(self._bytes).digest():
                return PassEvidence(
                    name=step.title(), changed=False, refused=None, facts=facts, size_bytes=len(self._bytes)
                )
            answers = self._check(step, after, content)
            step.ensures(self.model, after, facts)
        except Exception as error:
            return self._refusal(step, skip_of(step, error).reason)
        reach = reach_of(step, self.model, after, facts, self._context)
        self.model, self._bytes, self._answers = after, content, answers
        return PassEvidence(
            name=step.title(), changed=True, refused=None, facts=facts, size_bytes=len(content), reach=reach
        )

    def _refusal(self, step: Pass, reason: str) -> PassEvidence:
        return PassEvidence(name=step.title(), changed=False, refused=reason, facts={}, size_bytes=len(self._bytes))

    def _check(self, step: Pass, after: ir.Model, content: bytes) -> list[list[np.ndarray]] | None:
        """Check what every pass promises: a valid model, the same interface, and, for most, the same results."""
        if not step.changes_interface and (interface := _interface(after)) != _interface(self.model):
            raise PostconditionError(f"the model's inputs and outputs changed: {interface}")
        if self._was_valid and (violation := validation_error(content)) is not None:
            raise PostconditionError(f"the model is not valid ONNX any more: {violation}")
        if not self._context.probes:
            return None
        answers = _answers(content, self._context)
        if answers is None:
            raise PostconditionError("onnxruntime does not load or run the model any more")
        if step.tolerance is not None:
            if self._answers is None:
                self._answers = _answers(self._bytes, self._context)
            if self._answers is not None:
                pairs = zip(answers, self._answers, strict=True)
                moved = max((relative_difference(now, before) for now, before in pairs), default=0.0)
                if moved > step.tolerance:
                    raise PostconditionError(
                        f"outputs moved by {moved:.2g} of the largest, and the pass promises {step.tolerance:.0g}"
                    )
        return answers


def _interface(model: ir.Model) -> tuple[tuple[str | None, str, int | None], ...]:
    """Return what callers rely on: names, types and ranks. An initializer that is also an input need not be given."""
    values = [value for value in model.graph.inputs if not value.is_initializer()] + list(model.graph.outputs)
    return tuple((value.name, str(value.dtype), None if value.shape is None else len(value.shape)) for value in values)


def _answers(content: bytes, context: Context) -> list[list[np.ndarray]] | None:
    try:
        session = HostSession(content, exact=True)
        return [session.run(probe) for probe in context.probes]
    except Exception:
        # onnxruntime's errors have no common class of their own.
        _log.debug("probing", exc_info=True)
        return None
