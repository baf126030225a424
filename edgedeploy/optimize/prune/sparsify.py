"""Weights that matter least become zero, so that a compressed file is smaller."""

from __future__ import annotations

import re
import zlib
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.activation_tap import ActivationTap
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    constant,
    float_attribute,
    is_operator,
    replace_input,
    serialized,
)
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.prune.channels.coupling import find_coupling
from edgedeploy.optimize.prune.channels.walk import Layer
from edgedeploy.optimize.prune.importance import Importance
from edgedeploy.optimize.prune.layer_form import Form, form_of, matrices, weights_from
from edgedeploy.optimize.prune.layer_samples import Samples, graph_shapes
from edgedeploy.optimize.prune.moments import Gatherer
from edgedeploy.optimize.prune.sparse import by_activations, by_magnitude

_LEVEL = 1
"""Of zlib: what releases are sent with over a slow network."""
_LARGEST_INVERSE = 2500
_MOST_BYTES = 256 << 20


class Sparsify(Pass, frozen=True, kw_only=True):
    """Zero the weights that matter least: the file stays as large, and gets smaller when it is compressed.

    For transfer only. Neither onnxruntime nor the other runtimes here compute faster with zeros, so nothing is said of
    speed; the file on the board has the size it had. The facts give its bytes under zlib, before and after.
    """

    essential: ClassVar[bool] = True
    reaches: ClassVar[Literal["work", "weights"] | None] = "weights"
    needs_calibration: ClassVar[bool] = True

    sparsity: float = 0.5
    """Share of the weights of each layer that become zero; not used with a pattern."""
    pattern: str = ""
    """`"2:4"` keeps two of each four weights along the inputs; empty for none."""
    importance: Importance = "activations"
    """By what the layer gives on the calibration data, or by the size of the weight alone."""
    make_up: bool = True
    """Whether the weights that stay make up for those that go; with `importance = "activations"` only."""
    smallest: int = 1024
    """Layers with fewer weights stay as they are."""
    keep: tuple[str, ...] = ()
    """Layers, by the name of their first output, that stay as they are."""
    samples: int = 64
    """Calibration samples that are used, spread over the dataset."""

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ValueError("sparsity must be above 0 and below 1")
        if self.pattern and self._pattern is None:
            raise ValueError('pattern must be like "2:4": how many stay, of how many')
        if self.samples < 1:
            raise ValueError("samples must be at least 1")

    @property
    def _pattern(self) -> tuple[int, int] | None:
        found = re.fullmatch(r"(\d+):(\d+)", self.pattern)
        if found is None or not 0 < int(found[1]) < int(found[2]) <= 64:
            return None
        return int(found[1]), int(found[2])

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.calibration is None:
            return "it needs calibration data"
        if any(is_operator(node, "QuantizeLinear", "DequantizeLinear") for node in all_nodes(model)):
            return "the model is quantized already, and weights are to be removed before that"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        assert context.calibration is not None
        samples = Samples(context.calibration, self.samples)
        feed = next(samples.feeds(1))
        try:
            coupling = find_coupling(model, graph_shapes(model, feed))
        except EdgedeployError as error:
            raise PassSkipped(f"onnxruntime does not let its values' shapes be watched: {error.why}") from error
        nodes = list(model.graph)
        layer_filter = LayerFilter(self.keep, ())
        layers = [layer for layer in coupling.layers if self._takes(nodes[layer.node], layer, layer_filter)]
        if not layers:
            raise PassSkipped(f"no Conv, Gemm or MatMul has {self.smallest:,} weights or more of its own")
        before = serialized(model)
        builder = GraphBuilder(model)
        zeros = weights = 0
        for group in _groups(nodes, layers):
            for layer, sparse in self._sparse(model, nodes, group, samples).items():
                node = nodes[layer.node]
                old = node.inputs[1]
                assert old is not None
                replace_input(node, 1, builder.initializer(old.name or "weight", sparse))
                zeros += int((sparse == 0).sum())
                weights += sparse.size
            context.progress.advance(weights, None, "weights")
        after = serialized(model)
        return model, {
            "layers_sparsified": len(layers),
            "weights": weights,
            "zero_weights": zeros,
            "compressed_bytes_before": len(zlib.compress(before, _LEVEL)),
            "compressed_bytes_after": len(zlib.compress(after, _LEVEL)),
            "calibration_samples": samples.count,
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        if int(facts["compressed_bytes_after"]) >= int(facts["compressed_bytes_before"]):
            raise PostconditionError("the compressed model is no smaller than before")

    def _takes(self, node: ir.Node, layer: Layer, layer_filter: LayerFilter) -> bool:
        weight, value = constant(node.inputs[1]), node.inputs[1]
        assert weight is not None and value is not None
        return (
            layer.kind != "depthwise"
            and weight.dtype == np.float32
            and weight.size >= self.smallest
            and len(value.uses()) == 1
            and layer_filter.exclusion_reason((layer.name,)) is None
            and float_attribute(node, "alpha", 1.0) == 1.0
        )

    def _sparse(
        self, model: ir.Model, nodes: list[ir.Node], layers: list[Layer], samples: Samples
    ) -> dict[Layer, np.ndarray]:
        forms: dict[int, Form] = {layer.node: form_of(nodes[layer.node], layer) for layer in layers}
        originals: dict[int, np.ndarray] = {}
        for layer in layers:
            weight = constant(nodes[layer.node].inputs[1])
            assert weight is not None
            originals[layer.node] = weight
        stacks = {place: matrices(forms[place], weight) for place, weight in originals.items()}
        result: dict[int, np.ndarray] = {}
        if self.importance == "magnitude":
            result = {place: by_magnitude(stack, self.sparsity, self._pattern) for place, stack in stacks.items()}
        else:
            rows = {place: min(max(4 * stack.shape[1], 1024), 12288) for place, stack in stacks.items()}
            gatherer = Gatherer(forms, lambda place: max(1, -(-rows[place] // samples.count)), 0)
            names = [nodes[layer.node].inputs[0].name or "" for layer in layers]  # type: ignore[union-attr]
            tap = ActivationTap(model, names)
            for feed in samples.feeds():
                for layer, value in zip(layers, tap.run(feed), strict=True):
                    gatherer.add(layer.node, value)
            for place, stack in stacks.items():
                result[place] = by_activations(
                    stack,
                    gatherer.found[place],
                    self.sparsity,
                    self._pattern,
                    make_up=self.make_up and stack.shape[1] <= _LARGEST_INVERSE,
                )
        return {
            layer: weights_from(forms[layer.node], result[layer.node], originals[layer.node].shape) for layer in layers
        }


def _groups(nodes: list[ir.Node], layers: list[Layer]) -> list[list[Layer]]:
    """Layers in their order, so many at a time that their moments fit in memory."""
    groups: list[list[Layer]] = []
    room = 0
    for layer in layers:
        weight = constant(nodes[layer.node].inputs[1])
        assert weight is not None
        groups_of_channels, inputs, _ = matrices(form_of(nodes[layer.node], layer), weight).shape
        size = 8 * groups_of_channels * inputs * inputs
        if not groups or size > room:
            groups.append([])
            room = _MOST_BYTES
        groups[-1].append(layer)
        room -= size
    return groups
