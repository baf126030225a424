"""Small models for pictures, whose first operator is a convolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_picture_model(
    path: Path,
    *,
    size: tuple[int | str, int | str] = (32, 40),
    channels: int = 3,
    padding: int = 1,
    groups: int = 1,
    bias: bool = True,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    channels_last: bool = False,
    batch: int | str = "batch",
) -> Path:
    """Write a convolution, ReLU and global mean: six scores a picture, with random weights that are always the same."""
    rng = np.random.default_rng(7)
    number = helper.tensor_dtype_to_np_dtype(dtype)
    weights = [numpy_helper.from_array(rng.standard_normal((6, channels // groups, 3, 3)).astype(number), "weights")]
    if bias:
        weights.append(numpy_helper.from_array(rng.standard_normal(6).astype(number), "bias"))
    shape = [batch, *size, channels] if channels_last else [batch, channels, *size]
    first = [helper.make_node("Transpose", ["picture"], ["turned"], perm=[0, 3, 1, 2])] if channels_last else []
    operands = ["turned" if channels_last else "picture", *(each.name for each in weights)]
    nodes = [
        *first,
        helper.make_node("Conv", operands, ["features"], "conv", pads=[padding] * 4, group=groups),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pictures",
        [helper.make_tensor_value_info("picture", dtype, shape)],
        [helper.make_tensor_value_info("answer", dtype, [batch, 6])],
        weights,
    )
    onnx.save(helper.make_model_gen_version(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path
