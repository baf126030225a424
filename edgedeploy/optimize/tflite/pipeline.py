"""The passes of a recipe on a TensorFlow Lite model: the same recipe, what it means there, and the same promises.

A pass is defined on the ONNX graph. Those that quantize have a counterpart here, and so have those that tidy up; the
others prepare a graph in ways that a converter to TensorFlow Lite already did, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.metrics.model_comparison import relative_difference
from edgedeploy.model.tflite_file import dtype_name, read_tflite, tensor_name, write_tflite
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.quantize.quantize_dynamic import QuantizeDynamic
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.quantize.quantize_weights import QuantizeWeights
from edgedeploy.optimize.recipes.skips import skip_of
from edgedeploy.optimize.simplify.strip_metadata import StripMetadata
from edgedeploy.optimize.tflite import graph
from edgedeploy.optimize.tflite.quantize import Quantization, quantize
from edgedeploy.optimize.tflite.reach import tflite_reach
from edgedeploy.optimize.tflite.select import DENSE, LINEAR, operators
from edgedeploy.values.evidence import PassEvidence, PassReach

Counterpart = Callable[[Any, bytes, Context], tuple[bytes, Facts]]
"""Takes a pass, the model and what a pass may use; gives the model as it is afterwards. Raises `PassSkipped`."""

_PREPARED = "TensorFlow Lite models come prepared by their converter"
_NO_COUNTERPART = "it works on ONNX models only"

_KINDS = {
    "Conv": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "ConvTranspose": ("TRANSPOSE_CONV",),
    "MatMul": DENSE,
    "Gemm": DENSE,
    "LSTM": (),
}
"""What ONNX's operators are in the schema of TensorFlow Lite. Its one-piece LSTM is left as it is: the converters of
today unroll a layer into products, which are taken as such."""


def run_passes(content: bytes, passes: Sequence[Pass], context: Context) -> tuple[bytes, tuple[PassEvidence, ...]]:
    """Apply `passes` in order. A pass that refuses, fails or breaks its promise leaves the model as it was before it.

    Raises:
        EdgedeployError: a fact about the user's world that a pass met, such as a dataset that does not fit, or that the
            extra `tflite` is not installed.
    """
    state = _TfliteState(content, context)
    evidence: list[PassEvidence] = []
    for number, step in enumerate(passes, start=1):
        context.progress.step(f"{step.title()} ({number} of {len(passes)})")
        evidence.append(state.apply(step))
        if evidence[-1].refused and step.title() in _COUNTERPARTS:
            context.progress.note(f"{step.title()} left the model as it was: {evidence[-1].refused}")
    return state.content, tuple(evidence)


def layer_names(content: bytes) -> dict[str, str]:
    """Return the kind of each operator that multiplies by weights, by its name, that of its first output."""
    return {
        operator.name: operator.kind
        for operator in operators(read_tflite(content))
        if operator.kind in LINEAR and operator.name
    }


class _TfliteState:
    """The model between two passes."""

    def __init__(self, content: bytes, context: Context) -> None:
        self.content = content
        self._context = context

    def apply(self, step: Pass) -> PassEvidence:
        counterpart = _COUNTERPARTS.get(step.title())
        if counterpart is None:
            return self._evidence(step, refused=_PREPARED if step.tolerance is not None else _NO_COUNTERPART)
        if step.quantizes and self._context.reference is None:
            self._context.reference = self.content
        try:
            after, facts = counterpart(step, self.content, self._context)
            if after == self.content:
                return self._evidence(step, facts=facts)
            self._check(step, after)
        except Exception as error:
            return self._evidence(step, refused=skip_of(step, error).reason)
        reach = tflite_reach(self.content, after) if step.reaches is not None else None
        self.content = after
        return self._evidence(step, changed=True, facts=facts, reach=reach)

    def _evidence(
        self,
        step: Pass,
        *,
        changed: bool = False,
        refused: str | None = None,
        facts: Facts | None = None,
        reach: PassReach | None = None,
    ) -> PassEvidence:
        return PassEvidence(
            name=step.title(),
            changed=changed,
            refused=refused,
            facts=facts or {},
            size_bytes=len(self.content),
            reach=reach,
        )

    def _check(self, step: Pass, after: bytes) -> None:
        """What every pass promises: the same interface, a model that loads and runs; most also the same results."""
        if _interface(after) != _interface(self.content):
            raise PostconditionError(f"the model's inputs and outputs changed: {_interface(after)}")
        try:
            answers = _answers(after, self._context)
        except EdgedeployError as error:
            raise PostconditionError(f"ai-edge-litert does not load or run the model any more: {error.why}") from error
        if step.tolerance is not None:
            pairs = zip(answers, _answers(self.content, self._context), strict=True)
            moved = max((relative_difference(now, before) for now, before in pairs), default=0.0)
            if moved > step.tolerance:
                raise PostconditionError(
                    f"outputs moved by {moved:.2g} of the largest, and the pass promises {step.tolerance:.0g}"
                )


def _interface(content: bytes) -> list[tuple[str, str, tuple[int, ...]]]:
    """What callers rely on: names, types and shapes, -1 where they are open."""
    first = read_tflite(content).subgraphs[0]
    found = []
    for index in (*first.inputs, *first.outputs):
        tensor = first.tensors[index]
        extents = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        found.append((tensor_name(tensor), dtype_name(tensor), tuple(int(extent) for extent in extents or ())))
    return found


def _answers(content: bytes, context: Context) -> list[list[np.ndarray]]:
    session = TfliteSession(content, exact=True)
    return [session.run(probe) for probe in context.probes]


def _kinds(operators: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind for operator in operators for kind in _KINDS[operator]))


def _quantize_static(step: QuantizeStatic, content: bytes, context: Context) -> tuple[bytes, Facts]:
    kinds = _kinds(step.operators)
    wanted = Quantization(
        scheme="static",
        # One graph of integers is what the runtimes are made for: whatever multiplies by weights belongs to it.
        kinds=(*kinds, "TRANSPOSE_CONV") if "CONV_2D" in kinds else kinds,
        keep_float=step.keep_float,
        only=step.only,
        calibration=step.calibration,
        calibration_samples=step.calibration_samples,
        percentile=step.percentile,
    )
    return quantize(content, wanted, context)


def _quantize_dynamic(step: QuantizeDynamic, content: bytes, context: Context) -> tuple[bytes, Facts]:
    # Never convolutions: three times slower than float with XNNPACK, on each of nine real models.
    wanted = Quantization(scheme="dynamic", kinds=_kinds(step.operators), keep_float=step.keep_float, only=step.only)
    return quantize(content, wanted, context)


def _quantize_weights(step: QuantizeWeights, content: bytes, context: Context) -> tuple[bytes, Facts]:
    if step.weights == "int16":
        raise PassSkipped("TensorFlow Lite computes with float, float16 and int8 weights, not with 16-bit integers")
    wanted = Quantization(
        scheme="float16" if step.weights == "float16" else "weights",
        kinds=tuple(LINEAR),
        smallest=step.smallest,
        keep_float=step.keep_float,
        only=step.only,
    )
    return quantize(content, wanted, context)


def _convert_float16(step: Pass, content: bytes, context: Context) -> tuple[bytes, Facts]:
    # A runtime that computes in float16 does so from float16 weights: there is nothing else to convert.
    return quantize(content, Quantization(scheme="float16", kinds=tuple(LINEAR)), context)


def _compact(step: Pass, content: bytes, context: Context) -> tuple[bytes, Facts]:
    model = read_tflite(content)
    removed = graph.compact(model)
    # Written again, a file differs in the order of its parts.
    return (write_tflite(model, content) if removed else content), {"removed": removed}


def _strip_metadata(step: StripMetadata, content: bytes, context: Context) -> tuple[bytes, Facts]:
    model = read_tflite(content)
    if not step.shorten_names or not graph.drop_names(model):
        return content, {}
    after = write_tflite(model, content)
    return after, {"removed_bytes": len(content) - len(after)}


_COUNTERPARTS: dict[str, Counterpart] = {
    "quantize-static": _quantize_static,
    "quantize-dynamic": _quantize_dynamic,
    "quantize-weights": _quantize_weights,
    "convert-float16": _convert_float16,
    "remove-dead-code": _compact,
    "merge-duplicate-initializers": _compact,
    "strip-metadata": _strip_metadata,
}
