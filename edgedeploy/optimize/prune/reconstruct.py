"""New weights for layers that lost inputs, so that they give what they gave.

Layer by layer in the order in which they run, each takes the inputs that the pruned model now gives it, errors of the
layers before included, and is fitted to what it gave in the whole model: least squares with normal equations, He et al.
2017 (https://arxiv.org/abs/1707.06168, section 3.1, equation 1 with β fixed). The rows are taken at sampled places, so
that memory depends on a layer's width only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.foundation.progress import Progress
from edgedeploy.optimize.graph.activation_tap import ActivationTap
from edgedeploy.optimize.graph.edit import constant, float_attribute, is_operator, only_consumer
from edgedeploy.optimize.prune.channels.coupling import Coupling
from edgedeploy.optimize.prune.channels.rewrite import Kept, Operand, rewrite
from edgedeploy.optimize.prune.channels.walk import Layer
from edgedeploy.optimize.prune.layer_form import Form, form_of, matrices, rows_by_root, weights_from
from edgedeploy.optimize.prune.layer_samples import Samples
from edgedeploy.optimize.prune.moments import Moments, gather, joined

_RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Of the mean variance of an input; the one that is best on the half of the samples that it was not fitted to is taken.
It draws towards the old weights, not towards zero."""
_MOST_INPUTS = 6000


class Bias(Struct, frozen=True, kw_only=True, eq=False):
    """Where a layer's bias is, or would be."""

    operand: Operand
    values: np.ndarray
    """float64, shape (channels,); zeros where there is none yet."""
    shape: tuple[int, ...]
    """Of the operand."""


def bias_of(nodes: Sequence[ir.Node], coupling: Coupling, layer: Layer) -> Bias | None:
    """Find the bias of a Conv or Gemm, or the Add behind a MatMul; None where there is no place for one per channel."""
    node = nodes[layer.node]
    if layer.outputs is None or layer.operator == "ConvTranspose":
        return None
    channels = len(layer.outputs)
    position, place = 2, layer.node
    holder: ir.Node = node
    if layer.operator == "MatMul":
        reader = only_consumer(node.outputs[0])
        if reader is None or not is_operator(reader, "Add") or reader.graph is not node.graph:
            return None
        position = 1 if reader.inputs[0] is node.outputs[0] else 0
        holder, place = reader, nodes.index(reader)
    value = holder.inputs[position] if len(holder.inputs) > position else None
    if value is None:
        return Bias(operand=(place, position), values=np.zeros(channels), shape=(-1,))
    array = constant(value)
    if array is None or array.dtype.kind != "f" or array.size != channels or array.shape[-1:] != (channels,):
        return None
    return Bias(
        operand=(place, position), values=array.astype(np.float64).ravel(), shape=(1,) * (array.ndim - 1) + (-1,)
    )


def reconstruct(
    model: ir.Model,
    coupling: Coupling,
    removed: frozenset[int],
    samples: Samples,
    shapes: Mapping[str, tuple[int, ...]],
    progress: Progress,
) -> tuple[dict[Operand, np.ndarray], int]:
    """Fit the layers that lost inputs; return new weights and biases for `rewrite`, and how many layers got some."""
    nodes = list(model.graph)
    kept = Kept(coupling, removed)
    replacements: dict[Operand, np.ndarray] = {}
    wanted = [layer for layer in coupling.layers if _can_be_fitted(nodes, layer, kept)]
    fitted = 0
    for done, layer in enumerate(wanted):
        node = nodes[layer.node]
        form = form_of(node, layer)
        weight = constant(node.inputs[1])
        source = node.inputs[0]
        assert weight is not None and source is not None and source.name
        stacked = matrices(form, weight)
        seen = source.name if layer.operator == "ConvTranspose" else node.outputs[0].name or ""
        count, rows = samples.needed(form, layer, shapes[seen], stacked.shape[1])
        smaller = rewrite(model, coupling, removed, replacements, tell_shapes=False)
        pruned, whole = (ActivationTap(tapped, [source.name]) for tapped in (smaller, model))
        halves = gather(
            form, ((pruned.run(feed)[0], whole.run(feed)[0]) for feed in samples.feeds(count)), rows, layer.node
        )
        replacements |= _fit(nodes, coupling, layer, form, stacked, halves, kept)
        fitted += 1
        progress.advance(done + 1, len(wanted), "layers fitted")
    return replacements, fitted


def _can_be_fitted(nodes: Sequence[ir.Node], layer: Layer, kept: Kept) -> bool:
    if layer.kind == "depthwise" or layer.inputs is None or kept.mask(layer.inputs).all():
        return False
    node = nodes[layer.node]
    weight = constant(node.inputs[1])
    if weight is None or weight.dtype.kind != "f" or _inputs(node, layer) > _MOST_INPUTS:
        return False
    return float_attribute(node, "alpha", 1.0) == 1.0 and float_attribute(node, "beta", 1.0) == 1.0


def _inputs(node: ir.Node, layer: Layer) -> int:
    weight = constant(node.inputs[1])
    assert weight is not None
    window = math.prod(weight.shape[2:]) if layer.operator == "Conv" else 1
    return int(weight.shape[layer.input_axis]) * window


def _fit(
    nodes: Sequence[ir.Node],
    coupling: Coupling,
    layer: Layer,
    form: Form,
    stacked: np.ndarray,
    halves: tuple[Moments, Moments | None],
    kept: Kept,
) -> dict[Operand, np.ndarray]:
    """Fit one layer; return its weight and its bias, if there is a place for one.

    Args:
        stacked: the layer's weights as `matrices` gives them.
        halves: moments of the pruned model's inputs with the whole model's, of two halves of the samples.
    """
    assert layer.inputs is not None and layer.outputs is not None
    inside, outside = (
        _kept_rows(coupling, layer, form, stacked.shape[1], kept),
        _kept_columns(layer, form, stacked, kept),
    )
    target = stacked[:, :, outside].astype(np.float64)
    begin = target[:, inside]
    bias = bias_of(nodes, coupling, layer)
    problem, ridge = _problem(halves, bias is not None, begin, target)
    weights = problem.solve(begin, target, ridge)

    weight = constant(nodes[layer.node].inputs[1])
    assert weight is not None
    shape = list(weight.shape)
    groups = form.groups if layer.operator == "ConvTranspose" else 1
    shape[layer.input_axis] = kept.count(layer.inputs)
    shape[layer.output_axis] = kept.count(layer.outputs) // groups
    fitted: dict[Operand, np.ndarray] = {
        (layer.node, 1): weights_from(form, weights.astype(np.float32), tuple(shape)).astype(weight.dtype)
    }
    if bias is not None:
        values = bias.values.reshape(form.groups, -1)[:, outside] + problem.mean_change(target, weights)
        fitted[bias.operand] = values.astype(weight.dtype).reshape(bias.shape)
    return fitted


def _kept_rows(coupling: Coupling, layer: Layer, form: Form, rows: int, kept: Kept) -> np.ndarray:
    """Which rows of the stacked weights stay; bool, shape (rows,)."""
    assert layer.inputs is not None
    inside = np.zeros(rows, dtype=bool)
    for root, places in rows_by_root(form, coupling.sets.roots(layer.inputs)).items():
        inside[places] = kept.mask(np.array([root]))[0]
    return inside


def _kept_columns(layer: Layer, form: Form, stacked: np.ndarray, kept: Kept) -> np.ndarray:
    """Which columns of the stacked weights, which are those of one group, stay; bool, shape (columns,)."""
    assert layer.outputs is not None
    per_group = len(layer.outputs) // form.groups
    return np.repeat(kept.mask(layer.outputs[:per_group]), stacked.shape[2] // per_group)


def _problem(
    halves: tuple[Moments, Moments | None], centred: bool, begin: np.ndarray, target: np.ndarray
) -> tuple[_Problem, float]:
    """The problem on all samples, and the ridge to solve it with."""
    first, second = halves
    if second is None:
        return _Problem(first, centred), _RIDGES[-1]
    ridge = _best_ridge(_Problem(first, centred), _Problem(second, centred), begin, target)
    return _Problem(joined(first, second), centred), ridge


class _Problem:
    """min |x·W − y·T|² + ridge·|W − W₀|², by its normal equations."""

    def __init__(self, moments: Moments, centred: bool) -> None:
        """
        Args:
            centred: whether a bias takes care of the means.
        """
        square, cross, self._mean, self._other_mean = moments.centred()
        self._square = square if centred else moments.square / moments.rows
        self._cross = cross if centred else moments.cross / moments.rows

    def solve(self, begin: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
        """Return W; float64, shape (groups, in, out), like W₀, which is `begin`. T is `target`."""
        inputs = self._square.shape[1]
        spread = np.trace(self._square, axis1=1, axis2=2) / inputs
        system = self._square + np.maximum(ridge * spread, 1e-10)[:, None, None] * np.eye(inputs)
        return np.asarray(begin + np.linalg.solve(system, self._cross @ target - self._square @ begin))

    def error(self, weights: np.ndarray, target: np.ndarray) -> float:
        """Return the mean squared error, but for a summand that does not depend on the weights."""
        return float((weights * (self._square @ weights - 2.0 * (self._cross @ target))).sum())

    def mean_change(self, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return what a bias adds to keep the mean; float64, shape (groups, out)."""
        before = np.einsum("gi,gio->go", self._other_mean, target)
        return np.asarray(before - np.einsum("gi,gio->go", self._mean, weights))


def _best_ridge(first: _Problem, second: _Problem, begin: np.ndarray, target: np.ndarray) -> float:
    """Two-fold cross-validation. With few rows the weights hold on to what they were."""
    return min(
        _RIDGES,
        key=lambda ridge: (
            second.error(first.solve(begin, target, ridge), target)
            + first.error(second.solve(begin, target, ridge), target)
        ),
    )
