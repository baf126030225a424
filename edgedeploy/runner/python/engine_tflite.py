"""The runner's engine on TensorFlow Lite; `engine.py` in a bundle. Written for Python 3.9, as the runner is.

The runtime is ai-edge-litert or, where that has no wheels, its predecessor tflite-runtime; both have the same
interpreter, and give what they can to XNNPACK by default. Inputs and outputs are what `edgedeploy.inference.litert`
takes and gives on the host: where the model has quantized integers, float32 is taken too, and given always.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import numpy

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter

RUNTIMES = ("ai-edge-litert", "tflite-runtime")


class Session:
    """A model that is loaded and ready to run: its first subgraph.

    `inputs` and `outputs` are names in the model's order; `run(outputs, feed)` takes the names of those that are wanted
    and arrays by name, and gives arrays.
    """

    def __init__(self, model: Union[str, bytes], threads: int, settings: Mapping[str, Any]) -> None:
        """`model` is a path, or the bytes of a model; `settings` are the manifest's, of which this runtime has none."""
        named = {"model_content": model} if isinstance(model, bytes) else {"model_path": model}
        self._interpreter = Interpreter(num_threads=threads, **named)
        self._interpreter.allocate_tensors()
        self._taken = [Tensor(detail) for detail in self._interpreter.get_input_details()]
        self._given = {str(detail["name"]): Tensor(detail) for detail in self._interpreter.get_output_details()}
        self.inputs = [tensor.name for tensor in self._taken]
        self.outputs = list(self._given)

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> List[Any]:
        arrays = [tensor.fitting(feed[tensor.name]) for tensor in self._taken]
        changed = False
        for tensor, array in zip(self._taken, arrays):
            if array.shape != tensor.shape:
                self._interpreter.resize_tensor_input(tensor.index, array.shape)
                tensor.shape = array.shape
                changed = True
        if changed:
            self._interpreter.allocate_tensors()
        for tensor, array in zip(self._taken, arrays):
            self._interpreter.set_tensor(tensor.index, array)
        # The state of an LSTM begins anew with each run, so that samples do not answer for each other.
        self._interpreter.reset_all_variables()
        self._interpreter.invoke()
        wanted = [self._given[name] for name in outputs]
        return [tensor.real(self._interpreter.get_tensor(tensor.index)) for tensor in wanted]


class Tensor:
    """An input or output: where it is, and between which numbers and the model's own it translates."""

    def __init__(self, detail: Mapping[str, Any]) -> None:
        self.name = str(detail["name"])
        self.index = int(detail["index"])
        self.shape: Tuple[int, ...] = tuple(int(extent) for extent in detail["shape"])
        # Where a shape is open, the signature has -1; older files have no signature, and none of their extents is open.
        signature = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
        self.signature = tuple(int(extent) for extent in signature)
        self.dtype = numpy.dtype(detail["dtype"])
        self.scale, self.zero_point = detail["quantization"]
        # Integers for real numbers: real = (quantized - zero point) * scale, as
        # https://ai.google.dev/edge/litert/models/quantization_spec has it.
        self.quantized = self.dtype.kind in "iu" and self.scale != 0.0

    def fitting(self, array: Any) -> Any:
        """The array in the input's type, quantized if it has to be."""
        if len(array.shape) != len(self.signature) or any(
            wanted not in (-1, extent) for wanted, extent in zip(self.signature, array.shape)
        ):
            raise ValueError("input %s has shape %s, not %s" % (self.name, array.shape, self.signature))
        if array.dtype == self.dtype:
            return numpy.ascontiguousarray(array)
        if self.quantized and array.dtype == numpy.float32:
            limits = numpy.iinfo(self.dtype)
            return numpy.clip(numpy.rint(array / self.scale) + self.zero_point, limits.min, limits.max).astype(
                self.dtype
            )
        raise ValueError("input %s is of type %s, not %s" % (self.name, array.dtype, self.dtype))

    def real(self, array: Any) -> Any:
        """float32 for quantized integers; anything else as it is."""
        if not self.quantized:
            return array
        return (array.astype(numpy.float32) - numpy.float32(self.zero_point)) * numpy.float32(self.scale)


def versions() -> Dict[str, str]:
    found = {"numpy": str(numpy.__version__)}
    for name in RUNTIMES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
