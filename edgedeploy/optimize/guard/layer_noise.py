"""Measure the noise that quantization adds at the output of each layer.

Both models run in exact arithmetic on the same few samples, and give the outputs of their layers. The noise of a layer
is what came to it from the layers before, and what its own integers add; a layer adds as much as it is above the
noisiest that feeds it. That is what onnxruntime's QDQ debugger shows of activations
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#quantization-debugging), with the graph
beside it to tell where noise comes in.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import onnx
import onnx_ir as ir

from edgedeploy.datasets.dataset import Sample
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.optimize.graph.activation_tap import ActivationTap
from edgedeploy.optimize.graph.edit import is_operator
from edgedeploy.values.evidence import LayerNoise

_LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "RNN")
_SAMPLES = 4
_AT_ONCE = 32
"""Layers whose outputs leave the runtime together; bounds the memory."""


def layer_noise(reference: bytes, result: bytes, samples: Iterable[Sample]) -> tuple[LayerNoise, ...]:
    """Measure the noise at each layer whose output both models have under one name, in the order they are computed.

    Args:
        reference: the serialized model before it was quantized.
        result: the quantized one.
        samples: the first four are run.

    Returns:
        None at all where onnxruntime does not run the models so.
    """
    before, after = (ir.from_proto(onnx.load_from_string(content)) for content in (reference, result))
    layers = _in_both(before, after)
    found = {name: AgreementAccumulator() for name in layers}
    first_samples = list(itertools.islice(samples, _SAMPLES))
    try:
        for begin in range(0, len(layers), _AT_ONCE):
            names = list(layers)[begin : begin + _AT_ONCE]
            float_tap, tap = (ActivationTap(model, names, readout="float32", exact=True) for model in (before, after))
            for sample in first_samples:
                pairs = zip(tap.run(sample.feed), float_tap.run(sample.feed), strict=True)
                for name, (output, expected) in zip(names, pairs, strict=True):
                    found[name].add([output], [expected])
    except EdgedeployError:
        return ()
    sqnr_db = {name: agreement.figure().sqnr_db for name, agreement in found.items()}
    feeders = _feeders(after, layers)
    return tuple(
        LayerNoise(
            layer=name,
            operator=operator,
            sqnr_db=sqnr_db[name],
            before_db=min((db for feeder in feeders[name] if (db := sqnr_db[feeder]) is not None), default=None),
        )
        for name, operator in layers.items()
    )


def _in_both(before: ir.Model, after: ir.Model) -> dict[str, str]:
    """Operator of each layer by the name of its output, in the order of the float model."""
    kept = {value.name for node in after.graph for value in node.outputs}
    return {
        name: node.op_type
        for node in before.graph
        if is_operator(node, *_LAYERS) and (name := node.outputs[0].name) and name in kept
    }


def _feeders(model: ir.Model, layers: Mapping[str, str]) -> dict[str, set[str]]:
    """Of each layer, those that its inputs come from with no layer between."""
    nearest: dict[ir.Value, frozenset[str]] = {}
    found: dict[str, set[str]] = {}
    # Nodes of a valid graph stand behind those that they read from (ONNX IR, «Graphs»).
    for node in model.graph:
        read = (nearest.get(value, frozenset()) for value in node.inputs if value is not None)
        feeding = frozenset[str]().union(*read)
        for value in node.outputs:
            name = value.name or ""
            nearest[value] = frozenset((name,)) if name in layers else feeding
            if name in layers:
                found[name] = set(feeding)
    return found
