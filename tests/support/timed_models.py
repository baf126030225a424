"""Models that differ by so much work that no load of the machine hides it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser


def chain(length: int) -> bytes:
    """Make a model of so many matrix products in a row."""
    lines = [f"v{index + 1} = MatMul(v{index}, w)" for index in range(length)]
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    g (float[1,64] x) => (float[1,64] y) {{ v0 = Identity(x) {" ".join(lines)} y = Relu(v{length}) }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(64, dtype=np.float32), "w"))
    content: bytes = model.SerializeToString()
    return content
