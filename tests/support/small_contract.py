"""A hand-over that takes no time: one layer, right nine times out of ten, its data, and a contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.foundation.files import sha256_file

WIDTH, CLASSES, SAMPLES = 256, 64, 40
_CONTRACT = """\
schema = 1
[model]
name = "{name}"
version = "{version}"
framework = "by hand"
file = "model.onnx"
sha256 = "{sha256}"
[data]
evaluation = "evaluation.npz"
{data}
[optimization]
recipe = "fold"
[limits]
{limits}
"""


def small_contract(
    folder: Path, name: str = "small", *, version: str = "1.0", limits: str = "metric_min = 0.8", data: str = ""
) -> Path:
    """Fill `folder`, which need not exist; return the contract's path.

    Args:
        data: more lines of the table `data`.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    weights = rng.standard_normal((WIDTH, CLASSES)).astype(np.float32)
    x = rng.standard_normal((SAMPLES, WIDTH)).astype(np.float32)
    labels = (x @ weights).argmax(axis=1)
    labels[: SAMPLES // 10] = (labels[: SAMPLES // 10] + 1) % CLASSES
    np.savez(folder / "evaluation.npz", x=x, labels=labels)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, folder / "model.onnx")
    path = folder / "contract.toml"
    sha256 = sha256_file(folder / "model.onnx")
    path.write_text(_CONTRACT.format(name=name, version=version, sha256=sha256, limits=limits, data=data))
    return path
