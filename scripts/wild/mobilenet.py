"""MobileNetV2 for 224 by 224 pictures with seeded weights: the network that engines for small boards are compared by.

Layers as in Sandler et al. 2018 (https://arxiv.org/abs/1801.04381, table 2), batch normalization folded as exporters do
it; weights as He et al. 2015 draw them (https://arxiv.org/abs/1502.01852, equation 10). It is as much work as a trained
one, and knows nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

INPUT = "data_0"
"""As in scripts/wild/models.py's other networks for such pictures, whose data it takes."""

_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions, stride of the first."""
_STEM_CHANNELS, _HEAD_CHANNELS, _CLASSES = 32, 1280, 1000


class _Layers:
    """Nodes and weights as they are added."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def convolution(
        self, x: str, inputs: int, outputs: int, extent: int, *, stride: int = 1, groups: int = 1, clipped: bool = True
    ) -> str:
        fan_in = inputs // groups * extent * extent
        # A layer that no rectifier follows keeps the variance with half of it (equation 7 of He et al.).
        gain = 2.0 if clipped else 1.0
        weight = self._weight(self._rng.normal(0, np.sqrt(gain / fan_in), (outputs, inputs // groups, extent, extent)))
        bias = self._weight(self._rng.normal(0, 0.05, outputs))
        y = self._node(
            "Conv",
            [x, weight, bias],
            kernel_shape=[extent, extent],
            strides=[stride, stride],
            pads=[extent // 2] * 4,
            group=groups,
        )
        return self._node("Clip", [y, "zero", "six"]) if clipped else y

    def block(self, x: str, inputs: int, outputs: int, expansion: int, stride: int) -> str:
        """An inverted residual."""
        wide = inputs * expansion
        y = self.convolution(x, inputs, wide, 1) if expansion > 1 else x
        y = self.convolution(y, wide, wide, 3, stride=stride, groups=wide)
        y = self.convolution(y, wide, outputs, 1, clipped=False)
        return self._node("Add", [x, y]) if stride == 1 and inputs == outputs else y

    def classifier(self, x: str, inputs: int) -> str:
        flat = self._node("Flatten", [self._node("GlobalAveragePool", [x])])
        weight = self._weight(self._rng.normal(0, np.sqrt(1.0 / inputs), (_CLASSES, inputs)))
        bias = self._weight(np.zeros(_CLASSES))
        return self._node("Gemm", [flat, weight, bias], transB=1)

    def constant(self, name: str, value: float) -> None:
        self.weights.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))

    def _weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def _node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        self._count += 1
        output = f"{operator.lower()}_{self._count}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def write_mobilenet_v2(path: Path, seed: int = 0) -> None:
    """3.5 million parameters, 300 million multiply-accumulates; data_0 float32 (1, 3, 224, 224) → float32 (1, 1000)."""
    layers = _Layers(seed)
    layers.constant("zero", 0.0)
    layers.constant("six", 6.0)
    x, channels = layers.convolution(INPUT, 3, _STEM_CHANNELS, 3, stride=2), _STEM_CHANNELS
    for expansion, outputs, repetitions, stride in _BLOCKS:
        for repetition in range(repetitions):
            x = layers.block(x, channels, outputs, expansion, 1 if repetition else stride)
            channels = outputs
    output = layers.classifier(layers.convolution(x, channels, _HEAD_CHANNELS, 1), _HEAD_CHANNELS)
    graph = helper.make_graph(
        layers.nodes,
        "mobilenet-v2",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [1, _CLASSES])],
        initializer=layers.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
