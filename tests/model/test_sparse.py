"""Sparse tensors are written out where a model is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.model.load import load_onnx
from edgedeploy.model.sparse import densify, has_sparse

WEIGHT = np.array([[0, 2, 0], [0, 0, 0], [5, 0, -1]], np.float32)


def sparse(name: str, indices: object, values: object = (2, 5, -1)) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.array(values, np.float32), name),
        numpy_helper.from_array(np.array(indices, np.int64), f"{name}.indices"),
        [3, 3],
    )


LINEAR, BY_DIMENSION = [1, 6, 8], [[0, 1], [2, 0], [2, 2]]


def model(tensor: onnx.SparseTensorProto, *, place: str = "initializer") -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    if place == "constant":
        nodes.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=tensor))
    branches = {}
    if place == "branch":
        for name in ("then_branch", "else_branch"):
            branch = helper.make_graph(
                [helper.make_node("MatMul", ["x", "w"], [f"{name}.y"])],
                name,
                [],
                [helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, None)],
                sparse_initializer=[tensor],
            )
            branches[name] = branch
        nodes = [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
            helper.make_node("If", ["yes"], ["y"], **branches),
        ]
    graph = helper.make_graph(
        nodes,
        "sparse",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        sparse_initializer=[tensor] if place == "initializer" else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("indices", [LINEAR, BY_DIMENSION], ids=["linear", "by dimension"])
@pytest.mark.parametrize("place", ["initializer", "constant", "branch"])
def test_a_sparse_weight_is_dense_once_it_is_read(indices: object, place: str, tmp_path: Path) -> None:
    onnx.save(model(sparse("w", indices), place=place), tmp_path / "m.onnx")
    found = load_onnx(tmp_path / "m.onnx")
    assert has_sparse(model(sparse("w", indices), place=place)) and not has_sparse(found)
    x = np.eye(3, dtype=np.float32)
    session = onnxruntime.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], WEIGHT)


@pytest.mark.parametrize("indices", [[1, 6, 9], [1, 6, -1], [1, 6], [[0, 1], [2, 0], [3, 0]], [[0], [1], [2]]])
def test_indices_that_do_not_fit_are_refused(indices: object, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model(sparse("w", LINEAR)).SerializeToString())
    broken = onnx.load(tmp_path / "m.onnx")
    broken.graph.sparse_initializer[0].indices.CopyFrom(numpy_helper.from_array(np.array(indices, np.int64)))
    onnx.save(broken, tmp_path / "m.onnx")
    with pytest.raises(InvalidFileError, match="'w' is damaged"):
        load_onnx(tmp_path / "m.onnx")


def test_what_is_too_large_to_be_written_out_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="'w' is too large"):
        densify(model(sparse("w", LINEAR)), "m.onnx", limit_bytes=35)
    huge = model(sparse("w", LINEAR))
    huge.graph.sparse_initializer[0].dims[:] = [1 << 40, 1 << 40]
    with pytest.raises(UnsupportedError, match="'w' is too large"):
        densify(huge, "m.onnx", limit_bytes=1 << 31)
