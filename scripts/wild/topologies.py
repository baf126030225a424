"""Give the weightless topologies that the onnx package ships for its tests (backend/test/data/light) seeded weights.

Their weights are `ConstantOfShape` nodes. Here they become initializers of the same shapes, drawn as He et al. 2015
(https://arxiv.org/abs/1502.01852, equation 10) initialize networks of rectifiers: what comes out has the size, the
operators and the range of activations of the real network, and knows nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from wild.pictures import imagenet_scenes

_LOGIT_DEVIATION = 3.0
"""Of the classifier's outputs before softmax, as in trained networks."""
_PICTURES = 32


def with_random_weights(source: Path, target: Path, seed: int) -> None:
    """Write the topology `source` with seeded weights to `target`."""
    model = onnx.load(source)
    graph = model.graph
    fixed = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {
        node.output[0]: tuple(int(extent) for extent in fixed[node.input[0]])
        for node in graph.node
        if node.op_type == "ConstantOfShape" and node.input[0] in fixed
    }
    shapes |= {name: array.shape for name, array in fixed.items() if array.dtype == np.float32 and array.ndim}
    rng = np.random.default_rng(seed)
    reshaped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Reshape"}
    weights: dict[str, np.ndarray] = {}
    readers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "BatchNormalization")]
    for node in readers:
        for position, name in enumerate(node.input):
            tensor = reshaped.get(name, name)
            if tensor in shapes:
                weights[tensor] = _drawn(node.op_type, position, shapes[tensor], rng).astype(np.float32)
    kept = [node for node in graph.node if node.output[0] not in weights]
    used = {name for node in kept for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used and tensor.name not in weights]
    initializers += [numpy_helper.from_array(array, name) for name, array in weights.items()]
    names = {tensor.name for tensor in initializers}
    inputs = [value for value in graph.input if value.name in used and value.name not in names]
    for field, content in ((graph.node, kept), (graph.initializer, initializers), (graph.input, inputs)):
        del field[:]
        field.extend(content)
    # Before version 4, initializers had to be inputs too.
    model.ir_version = max(model.ir_version, 4)
    _set_classifier(model, readers[-1], reshaped)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _set_classifier(model: onnx.ModelProto, last: onnx.NodeProto, reshaped: dict[str, str]) -> None:
    """Scale and shift the layer `last` so that each logit has mean 0 and the wanted deviation over pictures."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.append(onnx.helper.make_tensor_value_info(last.output[0], onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(tapped.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pictures = imagenet_scenes(_PICTURES, seed=_PICTURES)
    logits = np.concatenate([session.run(None, {name: picture[None]})[0] for picture in pictures])
    logits = logits.reshape(*logits.shape[:2], -1).mean(axis=2)
    scale = np.float32(_LOGIT_DEVIATION / logits.std(axis=0).mean())
    for tensor in model.graph.initializer:
        if tensor.name == reshaped.get(last.input[1], last.input[1]):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * scale, tensor.name))
        elif tensor.name == last.input[2]:
            shifted = (numpy_helper.to_array(tensor) - logits.mean(axis=0)) * scale
            tensor.CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), tensor.name))


def _drawn(operator: str, position: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The operator's input at `position`, which is 1 or more."""
    if operator == "BatchNormalization":
        if position == 1:
            return rng.uniform(0.8, 1.2, shape)
        if position == 4:
            # Of a rectifier's input whose weights are He's: twice the mean square of what came in.
            return rng.uniform(1.0, 3.0, shape)
        return rng.normal(0, 0.1, shape)
    if position == 1:
        # Gemm's weights are (outputs, inputs) in these files, Conv's (outputs, inputs of a group, height, width).
        return rng.normal(0, np.sqrt(2.0 / np.prod(shape[1:])), shape)
    return rng.normal(0, 0.05, shape)
