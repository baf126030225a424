"""What losing channels costs: the order in which those of a group go, and the damage after each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import Progress
from edgedeploy.optimize.graph.activation_tap import ActivationTap
from edgedeploy.optimize.graph.edit import constant
from edgedeploy.optimize.prune.channels.channel_groups import ChannelGroup
from edgedeploy.optimize.prune.channels.coupling import Coupling
from edgedeploy.optimize.prune.channels.rewrite import Operand, rewrite
from edgedeploy.optimize.prune.elimination import Elimination
from edgedeploy.optimize.prune.layer_form import Form, form_of, matrices, rows_by_root, weights_from
from edgedeploy.optimize.prune.layer_samples import OutputJudge, Samples
from edgedeploy.optimize.prune.moments import Gatherer, Moments
from edgedeploy.optimize.prune.ranking import Estimate
from edgedeploy.optimize.prune.reconstruct import bias_of

Importance = Literal["activations", "magnitude"]

_MOST_BYTES = 256 << 20
"""Of moments that are kept at a time."""
_LARGEST_INVERSE = 2500
"""Inputs of a layer whose weights may make up for each other; an inverse for more takes minutes."""
_PROBED_SHARE = 0.35
"""Of a group's levels: where its effect on the model's outputs is tried."""


def by_magnitude(model: ir.Model, coupling: Coupling, groups: Sequence[ChannelGroup], at_most: float) -> list[Estimate]:
    """Rank channels by the size of their filters, the small ones first.

    The damage is their share of the squared weights of the layers that give them: the L2 form of Li et al. 2017,
    https://arxiv.org/abs/1608.08710, section 3.1.

    Returns:
        Of each group, in their order.
    """
    nodes = list(model.graph)
    return [_magnitude(nodes, coupling, group, at_most) for group in groups]


def _magnitude(nodes: Sequence[ir.Node], coupling: Coupling, group: ChannelGroup, at_most: float) -> Estimate:
    scores = np.zeros(len(group.roots))
    place = {int(root): number for number, root in enumerate(group.roots)}
    for number in group.producers:
        layer = coupling.layers[number]
        weight = constant(nodes[layer.node].inputs[1])
        assert weight is not None and layer.outputs is not None
        squares = np.moveaxis(weight, layer.output_axis, 0).astype(np.float64) ** 2
        energy = squares.reshape(len(squares), -1).sum(axis=1)
        ids = coupling.sets.roots(layer.outputs)[: len(energy)]
        for root, part in zip(ids.tolist(), (energy / max(energy.sum(), 1e-30)).tolist(), strict=True):
            if root in place:
                scores[place[root]] += part
    order = group.roots[np.argsort(scores, kind="stable")]
    cumulated = np.concatenate([[0.0], np.cumsum(np.sort(scores, kind="stable"))])
    levels = group.levels(at_most)
    return Estimate(order=order, damage=cumulated[[group.removed_at(level) for level in range(levels + 1)]])


def by_activations(
    model: ir.Model,
    coupling: Coupling,
    groups: Sequence[ChannelGroup],
    samples: Samples,
    at_most: float,
    *,
    make_up: bool,
    progress: Progress,
) -> list[Estimate]:
    """Rank channels by how little their loss changes in what follows, on the calibration samples.

    Within a group, channels are removed greedily by the error they cause in the layers that read them (`elimination`).
    Each group is then tried alone at one level, and its damage is scaled so that it is the error seen at the model's
    outputs: an error of a tenth means little in one layer and much in another.

    Args:
        make_up: whether the layers that follow will be made to make up for it.
    """
    nodes = list(model.graph)
    judge = OutputJudge(model, samples)
    found: dict[int, Estimate] = {}
    for batch in _batches(coupling, nodes, groups):
        moments = _moments(model, coupling, nodes, [groups[number] for number in batch], samples)
        for number in batch:
            found[number] = _estimate(model, coupling, nodes, groups[number], moments, judge, at_most, make_up)
            progress.advance(len(found), len(groups), "groups of channels")
    return [found[number] for number in range(len(groups))]


def _batches(coupling: Coupling, nodes: Sequence[ir.Node], groups: Sequence[ChannelGroup]) -> Iterator[list[int]]:
    """Groups whose layers' moments fit in memory together, in order."""
    batch: list[int] = []
    layers: set[int] = set()
    for number, group in enumerate(groups):
        wanted = layers | set(group.consumers)
        if batch and sum(_bytes(coupling, nodes, layer) for layer in wanted) > _MOST_BYTES:
            yield batch
            batch, wanted = [], set(group.consumers)
        batch.append(number)
        layers = wanted
    if batch:
        yield batch


def _bytes(coupling: Coupling, nodes: Sequence[ir.Node], number: int) -> int:
    layer = coupling.layers[number]
    form = form_of(nodes[layer.node], layer)
    weight = constant(nodes[layer.node].inputs[1])
    assert weight is not None
    groups, inputs, _ = matrices(form, weight).shape
    return int(8 * groups * inputs * inputs)


def _moments(
    model: ir.Model, coupling: Coupling, nodes: Sequence[ir.Node], groups: Sequence[ChannelGroup], samples: Samples
) -> dict[int, Moments]:
    layers = sorted({layer for group in groups for layer in group.consumers})
    if not layers:
        return {}
    forms: dict[int, Form] = {
        number: form_of(nodes[coupling.layers[number].node], coupling.layers[number]) for number in layers
    }
    sizes = {}
    for number in layers:
        weight = constant(nodes[coupling.layers[number].node].inputs[1])
        assert weight is not None
        sizes[number] = matrices(forms[number], weight).shape[1]
    sources = {number: nodes[coupling.layers[number].node].inputs[0] for number in layers}
    names = list(dict.fromkeys(value.name or "" for value in sources.values() if value is not None))
    tap = ActivationTap(model, names)
    gatherer = Gatherer(forms, lambda number: max(1, -(-min(max(4 * sizes[number], 1024), 12288) // samples.count)), 0)
    for feed in samples.feeds():
        values = dict(zip(names, tap.run(feed), strict=True))
        for number in layers:
            source = sources[number]
            assert source is not None
            gatherer.add(number, values[source.name or ""])
    return gatherer.found


def _estimate(
    model: ir.Model,
    coupling: Coupling,
    nodes: Sequence[ir.Node],
    group: ChannelGroup,
    moments: dict[int, Moments],
    judge: OutputJudge,
    at_most: float,
    make_up: bool,
) -> Estimate:
    levels = group.levels(at_most)
    if not levels:
        return Estimate(order=group.roots, damage=np.zeros(1))
    probed = max(1, round(levels * _PROBED_SHARE))
    replacements: dict[Operand, np.ndarray] = {}
    if group.consumers:
        estimate, replacements = _eliminate(coupling, nodes, group, moments, levels, probed, make_up)
    else:
        estimate = _magnitude(nodes, coupling, group, at_most)
    removed = frozenset(estimate.order[: group.removed_at(probed)].tolist())
    try:
        error = judge.error(rewrite(model, coupling, removed, replacements, tell_shapes=False))
    except EdgedeployError:
        # It does not run without them, whatever the walk made of it: they stay.
        return Estimate(order=group.roots, damage=np.zeros(1))
    if not np.isfinite(error):
        return Estimate(order=group.roots, damage=np.zeros(1))
    factor = error / max(float(estimate.damage[probed]), 1e-12)
    return Estimate(order=estimate.order, damage=estimate.damage * factor)


def _eliminate(
    coupling: Coupling,
    nodes: Sequence[ir.Node],
    group: ChannelGroup,
    moments: dict[int, Moments],
    levels: int,
    probed: int,
    make_up: bool,
) -> tuple[Estimate, dict[Operand, np.ndarray]]:
    """Remove a group's channels one level after the other, those first that cost its consumers least.

    Returns:
        The order, with the damage in the consumers; and their new weights at the level `probed`.
    """
    eliminations = {
        number: _elimination(coupling, nodes, number, moments[number], make_up) for number in group.consumers
    }
    replacements: dict[Operand, np.ndarray] = {}
    left, order, damage = group.roots, [group.roots[:0]], [0.0]
    for level in range(1, levels + 1):
        count = group.removed_at(level) - group.removed_at(level - 1)
        scores = np.sum([elimination.scores(left) for elimination in eliminations.values()], axis=0)
        chosen = np.argsort(scores, kind="stable")[:count]
        damage.append(damage[-1] + sum(elimination.remove(left[chosen]) for elimination in eliminations.values()))
        order.append(left[chosen])
        left = np.delete(left, chosen)
        if level == probed and make_up:
            removed = frozenset(np.concatenate(order).tolist())
            for number, elimination in eliminations.items():
                replacements |= _made_up(coupling, nodes, number, elimination, removed)
    return Estimate(order=np.concatenate([*order, left]), damage=np.maximum.accumulate(damage)), replacements


def _elimination(
    coupling: Coupling, nodes: Sequence[ir.Node], number: int, moments: Moments, make_up: bool
) -> Elimination:
    layer = coupling.layers[number]
    form = form_of(nodes[layer.node], layer)
    weight = constant(nodes[layer.node].inputs[1])
    assert weight is not None and layer.inputs is not None
    stacked = matrices(form, weight)
    rows = rows_by_root(form, coupling.sets.roots(layer.inputs))
    return Elimination(stacked, moments, rows, make_up=make_up and stacked.shape[1] <= _LARGEST_INVERSE)


def _made_up(
    coupling: Coupling, nodes: Sequence[ir.Node], number: int, elimination: Elimination, removed: frozenset[int]
) -> dict[Operand, np.ndarray]:
    """The layer's new weights and bias, without what was removed."""
    layer = coupling.layers[number]
    node = nodes[layer.node]
    form = form_of(node, layer)
    weight = constant(node.inputs[1])
    assert weight is not None and layer.inputs is not None
    whole = weights_from(form, elimination.weights.astype(weight.dtype), weight.shape)
    mask = ~np.isin(coupling.sets.roots(layer.inputs), list(removed))
    if layer.outputs is not None and np.isin(coupling.sets.roots(layer.outputs), list(removed)).any():
        # The layer loses outputs of the same group too; the trial goes without new weights there.
        return {}
    made: dict[Operand, np.ndarray] = {(layer.node, 1): np.compress(mask, whole, axis=layer.input_axis)}
    bias = bias_of(nodes, coupling, layer)
    if bias is not None:
        change = elimination.bias_change(matrices(form, weight).astype(np.float64)).reshape(-1)
        made[bias.operand] = (bias.values + change).astype(weight.dtype).reshape(bias.shape)
    return made
