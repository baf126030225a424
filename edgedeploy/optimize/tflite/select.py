"""Which operators of a TensorFlow Lite graph a pass quantizes. The rest stay in float.

An operator is known by the name of its first output, as in a recipe's `keep_float`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from edgedeploy.model.tflite_file import constant, operator_name, shape, tensor_name, type_name

LINEAR: dict[str, tuple[int, int]] = {
    "CONV_2D": (0, 1),
    "DEPTHWISE_CONV_2D": (0, 1),
    "TRANSPOSE_CONV": (2, 1),
    "FULLY_CONNECTED": (0, 1),
    "BATCH_MATMUL": (0, 1),
}
"""The operators that multiply by weights: which operand is the input, which the weight."""

DENSE = ("FULLY_CONNECTED", "BATCH_MATMUL")

# What may be computed in 8 bits between operators that are: the operators that move values, average them, add or
# multiply two, or clamp. Functions that are steep somewhere (softmax, division, roots), and norms made of several
# operators, stay in float: quantized, they are what ruins models.
_FOLLOWERS = frozenset(
    "ADD MUL CONCATENATION PAD MIRROR_PAD RESHAPE TRANSPOSE STRIDED_SLICE SLICE SPLIT PACK UNPACK SPACE_TO_DEPTH "
    "MAX_POOL_2D AVERAGE_POOL_2D RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR HARD_SWISH LOGISTIC MEAN".split()
)

WORTHWHILE_ELEMENTS = 256
"""Weights with fewer elements are not worth a scale and a zero point per channel (12 bytes) and an operator that
decodes them (about 200 with its tensor)."""


class Operator:
    """An operator of the first graph, with what selection asks of it."""

    def __init__(self, model: Any, operator: Any) -> None:
        self._model = model
        self._tensors = model.subgraphs[0].tensors
        self.kind = operator_name(model, operator)
        self.inputs = tuple(int(index) for index in operator.inputs)
        self.outputs = tuple(int(index) for index in operator.outputs)
        self.name = tensor_name(self._tensors[self.outputs[0]]) if self.outputs else ""

    def weight(self) -> np.ndarray | None:
        """Return the constant float32 weight of a linear operator with a float32 input; None for any other."""
        if self.kind not in LINEAR:
            return None
        data, weight = (self.inputs[place] for place in LINEAR[self.kind])
        if type_name(self._tensors[data]) != "FLOAT32" or type_name(self._tensors[weight]) != "FLOAT32":
            return None
        return constant(self._model, self._tensors[weight])

    def data_inputs(self) -> Iterator[int]:
        """Iterate over the float operands that are not constants, by tensor number."""
        for index in self.inputs:
            if index >= 0 and type_name(self._tensors[index]) == "FLOAT32":
                tensor = self._tensors[index]
                if constant(self._model, tensor) is None:
                    yield index

    def follows(self) -> bool:
        """Tell whether it may be computed in 8 bits where its inputs are."""
        if self.kind == "MEAN":
            # Over height and width it is a pooling; over channels it is the beginning of a norm.
            axes = constant(self._model, self._tensors[self.inputs[1]])
            rank = len(shape(self._tensors[self.inputs[0]]))
            return axes is not None and rank == 4 and {int(axis) % rank for axis in axes.ravel()} == {1, 2}
        return self.kind in _FOLLOWERS


def operators(model: Any) -> list[Operator]:
    """List the operators of the first graph, in the order in which they run."""
    return [Operator(model, proto) for proto in model.subgraphs[0].operators]


def linear(
    found: Collection[Operator], kinds: Collection[str], keep_float: Collection[str], only: Collection[str] = ()
) -> list[Operator]:
    """List the operators of these kinds that have a weight to quantize and are not to stay in float.

    Args:
        keep_float: names of those that stay.
        only: if not empty, names of the only ones that do not.
    """
    return [
        operator
        for operator in found
        if operator.kind in kinds
        and operator.name not in keep_float
        and (not only or operator.name in only)
        and operator.weight() is not None
    ]


def worthwhile(found: Collection[Operator], least_elements: int) -> list[Operator]:
    """List those whose weight is large enough for quantizing it alone to make the file smaller."""
    return [
        operator for operator in found if (weight := operator.weight()) is not None and weight.size >= least_elements
    ]


def integer_region(
    found: Collection[Operator], seeds: Collection[Operator], keep_float: Collection[str]
) -> list[Operator]:
    """List `seeds` and what lies between them: what can be computed in 8 bits without leaving them.

    An operator follows when all its inputs come from the region and some of its results go into it: what leads from the
    region to an output of the model, or to an operator in float, is computed in float, which is the same work there and
    costs no accuracy.
    """
    chosen = {operator.outputs[0]: operator for operator in seeds}
    inside = {index for operator in seeds for index in operator.outputs}
    for operator in found:
        if (
            operator.outputs
            and operator.outputs[0] not in chosen
            and operator.follows()
            and operator.name not in keep_float
        ):
            data = list(operator.data_inputs())
            if data and inside.issuperset(data):
                chosen[operator.outputs[0]] = operator
                inside.update(operator.outputs)
    fixed = {operator.outputs[0] for operator in seeds}
    for operator in reversed(list(found)):
        if not operator.outputs or operator.outputs[0] not in chosen or operator.outputs[0] in fixed:
            continue
        readers = [reader for reader in found if set(operator.outputs) & set(reader.inputs)]
        if not any(reader.outputs and reader.outputs[0] in chosen for reader in readers):
            del chosen[operator.outputs[0]]
    return [operator for operator in found if operator.outputs and operator.outputs[0] in chosen]
