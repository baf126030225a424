"""Converts ONNX models to TensorFlow Lite, and accepts the result only where its answers are the same."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from msgspec import Struct

from edgedeploy.compile.golden import read_golden, require_one_shape
from edgedeploy.compile.onnx_to_tflite.answers import ARITHMETICS, ask
from edgedeploy.compile.onnx_to_tflite.edges import Edge, identity, layouts, with_edges
from edgedeploy.compile.onnx_to_tflite.environment import convert
from edgedeploy.compile.onnx_to_tflite.pinned import input_name, output_name, pin
from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.litert import require_tflite
from edgedeploy.model.graphs import nodes, tensors
from edgedeploy.model.tflite_file import dtype_name, read_tflite, shape, tensor_name

CONVERSION_LIMIT_S = 1800.0
"""Of the corpus in docs/bench_optimize.md the slowest, a transformer of 9 MB, took two minutes on a busy machine."""
_ANSWERS_LIMIT_S = 900.0

_HINT_QUANTIZED = "compile the float model, then optimize the model.tflite that its bundle holds and compile that"


class Tolerance(Struct, frozen=True, kw_only=True):
    """How far answers may lie from the ONNX model's, for each output of each golden sample.

    Whole numbers and truth values have to be equal, all of them.
    """

    what: str
    relative: float
    """Euclidean norm of the difference over that of the ONNX model's output, for real numbers."""


# What was measured on 20 models leaves more than an order of magnitude: in float32 sums come in another order (1e-8 to
# 5e-5), and what was float16 is computed in float32 (1e-4).
FLOAT32 = Tolerance(what="float32", relative=1e-3)
FLOAT16 = Tolerance(what="float16", relative=1e-2)


class Converted(Struct, frozen=True, kw_only=True):
    """A model in the other format, and how far its answers lie from the ONNX model's."""

    content: bytes
    tolerance: Tolerance
    difference: float
    """The largest relative difference that was found, with or without XNNPACK."""


def to_tflite(model: Path, golden: Path, samples: int, progress: Progress, *, sources: Sequence[str] = ()) -> Converted:
    """Convert an ONNX model for inputs of the shapes that its golden samples have.

    Inputs and outputs have the names, the order, the layout and the types of the ONNX model.

    Args:
        model: without external data.
        golden: a folder of `NNNN.npz` with keys `input:NAME` and `output:NAME`.
        samples: how many there are; at least one.
        sources: what each came from, for messages.

    Raises:
        UnsupportedError: it cannot be converted, or answers something else then; the reason has the numbers.
        HostError: the converter, or the extra `tflite`, cannot be had.
    """
    require_tflite("ai_edge_litert.interpreter")  # now, not after minutes
    content = read_file(model, MODEL)
    source = onnx.load_model_from_string(content)
    if reason := quantized({node.op_type for node in nodes(source)}):
        raise UnsupportedError("an 8-bit model is not converted to TensorFlow Lite", why=reason, hint=_HINT_QUANTIZED)
    stored = {tensor.name for tensor in source.graph.initializer}
    inputs = [value.name for value in source.graph.input if value.name not in stored]
    outputs = [value.name for value in source.graph.output]
    first = read_golden(golden, 0)
    feeds = [first.inputs, *(read_golden(golden, number).inputs for number in range(1, samples))]
    require_one_shape("a converted model", feeds, sources)
    try:
        with scratch_folder() as folder:
            work = _Work(Path(folder), golden, samples, inputs, outputs)
            pinned = work.folder / "model.onnx"
            write_bytes(pinned, pin(content, inputs, outputs, {name: first.inputs[name] for name in inputs}))
            kept = tuple(input_name(index) for index in range(len(inputs)))
            raw = convert(pinned, work.folder / "made", kept, limit_s=CONVERSION_LIMIT_S, progress=progress)
            progress.step("comparing with the ONNX model's golden outputs")
            return work.fitted(read_file(raw, MODEL), tolerance_for(source))
    except UnsupportedError as error:
        raise UnsupportedError(error.what, why=error.why, hint=error.hint) from error
    except InvalidFileError as error:
        # It is the converter's file, and no fault of the user's.
        raise UnsupportedError("onnx2tf writes no whole TensorFlow Lite model", why=error.why or error.what) from error


def quantized(operators: Collection[str]) -> str | None:
    """Say why a model with these operators is not converted; None unless it computes in integers for real numbers.

    onnx2tf 2.6 writes such arithmetic out: each activation is divided, rounded and clipped in float, each weight stored
    in 32 bits. An int8 classifier came out 3.8 times as large, with 903 operators for its 124.
    """
    found = sorted(name for name in operators if "Quantize" in name and name != "DequantizeLinear")
    found += sorted(name for name in operators if name.startswith("QLinear") or name.endswith("Integer"))
    if not found:
        return None
    return f"onnx2tf computes {found[0]} in float: the result would be larger and slower than the float model's"


def tolerance_for(model: onnx.ModelProto) -> Tolerance:
    """Choose the tolerance by the type that the model computes with."""
    half = onnx.TensorProto.FLOAT16
    return FLOAT16 if any(tensor.data_type == half for tensor in tensors(model)) else FLOAT32


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Measure how far an output is from the wanted one: relative for real numbers, else the share of unequal elements.

    Infinite where the shapes differ, or what is infinite or not a number is so in one only.
    """
    if found.shape != wanted.shape:
        return float("inf")
    if wanted.dtype.kind != "f":
        return float((found != wanted).mean()) if wanted.size else 0.0
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return float("inf")
    error, size = np.linalg.norm(a[finite] - b[finite]), np.linalg.norm(b[finite])
    if error == 0.0:
        return 0.0
    return float(error / size) if size else float("inf")


class _Work:
    """One conversion: the golden samples, and the folder that it works in."""

    def __init__(self, folder: Path, golden: Path, samples: int, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.folder = folder
        self._golden, self._samples = golden, samples
        self._inputs, self._outputs = inputs, outputs

    def fitted(self, raw: bytes, tolerance: Tolerance) -> Converted:
        """The raw model with the ONNX model's inputs and outputs; checked."""
        first = read_golden(self._golden, 0)
        edges_in = self._input_edges(raw, first.inputs)
        # First as they come, to see in which layout that is: where extents are equal, only the numbers tell.
        loose = self._raw_outputs(raw)
        answers = self._ask(with_edges(raw, edges_in, loose))
        edges_out = {
            output_name(index): _edge(name, first.outputs[name], self._layout(name, answers))
            for index, name in enumerate(self._outputs)
        }
        content = with_edges(raw, edges_in, edges_out)
        worst = self._worst(self._ask(content), tolerance)
        return Converted(content=content, tolerance=tolerance, difference=worst)

    def _input_edges(self, raw: bytes, first: Mapping[str, np.ndarray]) -> dict[str, Edge]:
        """The converter was told to keep the inputs' layout; where it did not, their extents must tell it."""
        graph = read_tflite(raw).subgraphs[0]
        shapes = {tensor_name(graph.tensors[index]): shape(graph.tensors[index]) for index in graph.inputs}
        edges = {}
        for index, name in enumerate(self._inputs):
            array = first[name]
            found = shapes.get(input_name(index), array.shape)
            candidates = layouts(array.shape, found)
            if array.size == math.prod(found) == 1:
                # A single element has no layout: it is taken with as many extents as it comes with.
                candidates = [identity(array.ndim)]
            if not candidates:
                raise UnsupportedError(
                    "onnx2tf changed an input", why=f"{name!r} has shape {array.shape}, and {found} in the result"
                )
            edges[input_name(index)] = _edge(name, array, candidates[0])
        return edges

    def _raw_outputs(self, raw: bytes) -> dict[str, Edge]:
        graph = read_tflite(raw).subgraphs[0]
        made = {tensor_name(graph.tensors[index]): graph.tensors[index] for index in graph.outputs}
        edges = {}
        for index, name in enumerate(self._outputs):
            tensor = made.get(output_name(index))
            if tensor is None:
                raise UnsupportedError("onnx2tf lost an output", why=f"there is no {name!r} in the result")
            axes = identity(len(shape(tensor)))
            edges[output_name(index)] = Edge(name=name, shape=shape(tensor), dtype=dtype_name(tensor), permutation=axes)
        return edges

    def _layout(self, name: str, answers: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        found, wanted = answers[f"{next(iter(ARITHMETICS))}:0:{name}"], read_golden(self._golden, 0).outputs[name]
        candidates = layouts(found.shape, wanted.shape)
        if not candidates:
            raise UnsupportedError(
                "the converted model has an output of another shape",
                why=f"{name!r} is {found.shape}, and {wanted.shape} in the ONNX model",
            )
        return min(candidates, key=lambda axes: difference(found.transpose(axes), wanted))

    def _ask(self, content: bytes) -> dict[str, np.ndarray]:
        model, answers = self.folder / "asked.tflite", self.folder / "answers.npz"
        write_bytes(model, content)
        ask(model, self._golden, self._samples, answers, limit_s=_ANSWERS_LIMIT_S)
        with np.load(answers, allow_pickle=False) as kept:
            return {key: kept[key] for key in kept.files}

    def _worst(self, answers: Mapping[str, np.ndarray], tolerance: Tolerance) -> float:
        worst = 0.0
        for index in range(self._samples):
            outputs = read_golden(self._golden, index).outputs
            for name in self._outputs:
                wanted = outputs[name]
                real = wanted.dtype.kind == "f"
                limit = tolerance.relative if real else 0.0
                for arithmetic in ARITHMETICS:
                    found = difference(answers[f"{arithmetic}:{index}:{name}"], wanted)
                    if not found <= limit:
                        how = "differs by {:.2g} of its size" if real else "differs in {:.2%} of its elements"
                        raise UnsupportedError(
                            "the converted model answers something else than the ONNX model",
                            why=f"output {name!r} of golden sample {index}, {arithmetic}, {how.format(found)}; "
                            f"{limit:g} is allowed for a {tolerance.what} model",
                        )
                    worst = max(worst, found) if real else worst
        return worst


def _edge(name: str, array: np.ndarray, permutation: tuple[int, ...] | None = None) -> Edge:
    axes = identity(array.ndim) if permutation is None else permutation
    return Edge(name=name, shape=array.shape, dtype=array.dtype.name, permutation=axes)
