"""Write sparse tensors out dense: onnx-ir and onnx's own helpers drop them, and few runtimes take them.

The form is that of ONNX's `SparseTensorProto`: values, and where they stand, counted through the whole tensor or by
dimension (https://onnx.ai/onnx/api/classes.html#sparsetensorproto).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.model.graphs import nodes, subgraphs


def has_sparse(model: onnx.ModelProto) -> bool:
    """Return whether a model stores a tensor sparsely: as an initializer, or in a `Constant` node."""
    return _sparse_in(model.graph) or any(_sparse_constant(node) or _sparse_below(node) for node in nodes(model))


def densify(model: onnx.ModelProto, name: str, *, limit_bytes: int) -> None:
    """Put dense tensors in place of all sparse ones, within `model`, whose external data was loaded.

    Args:
        name: of the model, for errors.
        limit_bytes: of all dense tensors that are made.

    Raises:
        InvalidFileError: an index lies outside of its tensor, or there are more or fewer of them than values.
        UnsupportedError: the dense tensors are larger than `limit_bytes`.
    """
    room = limit_bytes
    for graph in (model.graph, *(graph for node in nodes(model) for graph in subgraphs(node))):
        for sparse in graph.sparse_initializer:
            dense = _dense(sparse, name, room)
            room -= len(dense.raw_data)
            graph.initializer.append(dense)
        del graph.sparse_initializer[:]
    for node in nodes(model):
        if not _sparse_constant(node):
            continue
        dense = _dense(node.attribute[0].sparse_tensor, name, room)
        room -= len(dense.raw_data)
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("value", dense))


def _sparse_in(graph: onnx.GraphProto) -> bool:
    return len(graph.sparse_initializer) > 0


def _sparse_below(node: onnx.NodeProto) -> bool:
    return any(map(_sparse_in, subgraphs(node)))


def _sparse_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and any(each.name == "sparse_value" for each in node.attribute)


def _dense(sparse: onnx.SparseTensorProto, model: str, room_bytes: int) -> onnx.TensorProto:
    name, shape = sparse.values.name, tuple(sparse.dims)
    values, indices = onnx.numpy_helper.to_array(sparse.values), onnx.numpy_helper.to_array(sparse.indices)
    if math.prod(shape) * values.dtype.itemsize > room_bytes:
        raise UnsupportedError(
            f"{model}: the sparse tensor {name!r} is too large to be written out",
            why=f"it has {_times(shape)} elements",
            hint="export the model with smaller or dense weights",
        )
    array = np.zeros(shape, values.dtype)
    try:
        if values.ndim != 1 or len(indices) != len(values) or (indices < 0).any():
            raise ValueError(f"{values.shape} values and {indices.shape} indices")
        if indices.ndim > 1 and indices.shape[1:] != (len(shape),):
            raise ValueError(f"indices of shape {indices.shape}")
        if indices.ndim == 1:
            array.reshape(-1)[indices] = values
        else:
            array[tuple(indices.T)] = values
    except (IndexError, ValueError) as error:
        raise InvalidFileError(
            f"{model}: the sparse tensor {name!r} is damaged",
            why=f"{error}; its shape is {_times(shape)}",
            hint="export the model again",
        ) from error
    return onnx.numpy_helper.from_array(array, name)


def _times(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "1"
