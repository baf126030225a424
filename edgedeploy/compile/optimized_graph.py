"""onnxruntime's own graph, optimized once on the host, so that a device need not do it at each start.

Fusions and folded constants are done here and the graph is saved: the offline mode of
https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html, up to the level «extended». What
depends on the processor is left to the device, which still does the rest when it loads the file:

- layouts, the level «all»;
- integer kernels. Models with quantized values are taken to the level «basic» only: their pairs of QuantizeLinear and
  DequantizeLinear stay, so that the file is still one that can be computed in exact arithmetic, as `edgedeploy test`
  does, and that a core with other instructions fuses in its own way;
- half precision, for which Arm has kernels and x86 has none, so that casts would be saved around each operator: models
  with such tensors are left as they are.

Measured on an emulated Cortex-A72, in instructions until the session is ready (inferences took the same, and gave the
same bits): PP-OCR's classifier 123.9 → 42.1 M, in 8 bits 114.3 → 50.2 M, its recognizer 315.9 → 132.8 M, SqueezeNet
42.6 → 34.0 M, magika in 8 bits 62.8 → 57.9 M. The `.ort` format took 2 to 10 M less for small models and 35 M less for
the recognizer, because nothing is optimized further when it is loaded; as much less as loading this file so does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgedeploy.compile.golden import read_golden
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.model.graphs import nodes, tensors
from edgedeploy.values.target import Architecture

GROWTH_LIMIT = 1.1
"""How much larger the saved graph may be: onnxruntime unfolds weights that `optimize` stored in few bits, and what that
saved is worth more than the start."""
_HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_TOLERANCE = 1e-5
"""Of the largest output: both run the same graph with the same kernels, so there is hardly a difference at all."""


def optimized_graph(model: Path, architecture: Architecture, golden: Path) -> tuple[bytes | None, str]:
    """Optimize a model as onnxruntime runs it on a device; None, and why, where it is better left as it is.

    Args:
        model: an `.onnx` file without external data.
        golden: a folder of golden samples; on the first of them both have to give the same.

    Returns:
        A serialized model and an empty text; or None and the reason.
    """
    source = read_file(model, MODEL)
    proto = onnx.load_from_string(source)
    if any(kind in _HALF for kind in _element_types(proto)):
        return None, "it computes in half precision, which is done differently on this machine"
    level = "BASIC" if any(_is_quantized(node) for node in nodes(proto)) else "EXTENDED"
    with scratch_folder() as folder:
        saved = Path(folder) / "optimized.onnx"
        try:
            before = _session(source, architecture, level, save_as=saved)
            content = read_file(saved, MODEL)
            after = _session(content, architecture, level)
            feed = read_golden(golden, 0).inputs
            same = same_outputs(before.run(None, feed), after.run(None, feed))
        except Exception as error:
            # Whatever onnxruntime raises: it cannot save this graph, or not read what it saved. The model itself loads.
            return None, f"onnxruntime does not read what it saved: {one_line(str(error), limit=200)}"
    if not same:
        return None, "the saved graph gives other outputs"
    if len(content) > GROWTH_LIMIT * len(source):
        return None, f"the saved graph is {len(content) / len(source):.2f} times as large"
    return content, ""


def _session(model: bytes, architecture: Architecture, level: str, *, save_as: Path | None = None) -> Any:
    # Before onnxruntime: it sets what that reads while it is loaded.
    import edgedeploy.inference.onnxruntime  # noqa: F401, I001
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    # What onnxruntime takes for granted on Arm and not on x86, where it makes signed activations unsigned.
    options.add_session_config_entry("session.qdqisint8allowed", "0" if architecture == "x86_64" else "1")
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if save_as is not None:
        options.optimized_model_filepath = str(save_as)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _element_types(model: onnx.ModelProto) -> Iterator[int]:
    """List the types of everything that says what its elements are: weights, inputs and outputs, casts."""
    yield from (tensor.data_type for tensor in tensors(model))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        yield value.type.tensor_type.elem_type
    for node in nodes(model):
        yield from (attribute.i for attribute in node.attribute if attribute.name == "to")


def _is_quantized(node: onnx.NodeProto) -> bool:
    return any(word in node.op_type for word in ("Quantize", "QLinear", "Integer"))


def same_outputs(before: list[Any], after: list[Any]) -> bool:
    """Tell whether two runs gave as many outputs, each of one type and shape and with nearly the same numbers."""
    return len(before) == len(after) and all(_alike(a, b) for a, b in zip(before, after, strict=True))


def _alike(before: Any, after: Any) -> bool:
    if not isinstance(before, np.ndarray) or not isinstance(after, np.ndarray):
        return False
    if before.dtype != after.dtype or before.shape != after.shape:
        return False
    if before.dtype.kind != "f" or not before.size:
        return bool((before == after).all())
    finite = before[np.isfinite(before)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    return bool(np.allclose(before, after, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True))
