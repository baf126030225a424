"""Channels that matter least are removed; the tensors get really smaller."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.session import Feed
from edgedeploy.model.macs import count_macs
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.edit import all_nodes, is_operator, serialized
from edgedeploy.optimize.graph.runtime_shapes import tell_shapes
from edgedeploy.optimize.prune.channels.channel_groups import ChannelGroup, Unprunable, find_channel_groups
from edgedeploy.optimize.prune.channels.cost import Cost, Objective
from edgedeploy.optimize.prune.channels.coupling import Coupling, find_coupling
from edgedeploy.optimize.prune.channels.rewrite import Operand, rewrite
from edgedeploy.optimize.prune.importance import Importance, by_activations, by_magnitude
from edgedeploy.optimize.prune.layer_samples import Samples, graph_shapes
from edgedeploy.optimize.prune.ranking import Estimate, choose_levels
from edgedeploy.optimize.prune.reconstruct import reconstruct

_QUANTIZED = (
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul MatMulInteger ConvInteger".split()
)


class PruneChannels(Pass, frozen=True, kw_only=True):
    """Remove the channels that matter least, and let the layers that read them make up for it.

    Channels that go together are found through the graph (`prune.channels.coupling`, after DepGraph); which ones matter
    is judged by what their loss changes in the layers that follow and at the outputs, on the calibration data
    (`prune.importance`, after OBC and ThiNet); what is removed where is chosen over all layers at once by damage per
    MAC or byte that is saved (`prune.ranking`); and what follows is fitted anew by least squares (`prune.reconstruct`,
    after He et al. 2017).
    """

    essential: ClassVar[bool] = True
    reaches: ClassVar[Literal["work", "weights"] | None] = "work"
    needs_calibration: ClassVar[bool] = True

    ratio: float = 0.2
    """Share of the MACs, or of the bytes of weights, that is to go; at least so much, if it can be had."""
    objective: Objective = "macs"
    importance: Importance = "activations"
    """By what follows from a channel on the calibration data, or by the size of its filters."""
    reconstruct: bool = True
    """Whether layers that lose inputs are fitted anew."""
    multiple_of: int = 8
    """Layers keep a multiple of so many channels, as kernels compute blocks of them; layers of no more stay."""
    at_most: float = 0.75
    """Share of a layer's channels that may go."""
    keep: tuple[str, ...] = ()
    """Layers, by the name of their first output, whose output channels all stay."""
    samples: int = 128
    """Calibration samples that are used, spread over the dataset."""

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError("ratio must be above 0 and below 1")
        if not 0 < self.at_most < 1:
            raise ValueError("at_most must be above 0 and below 1")
        if self.multiple_of < 1 or self.samples < 1:
            raise ValueError("multiple_of and samples must be at least 1")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.calibration is None:
            return "it needs calibration data"
        if any(is_operator(node, *_QUANTIZED) for node in all_nodes(model)):
            return "the model is quantized already, and channels are to be removed before that"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        assert context.calibration is not None
        samples = Samples(context.calibration, self.samples)
        feed = next(samples.feeds(1))
        tell_shapes(model, [feed])
        try:
            shapes = graph_shapes(model, feed)
        except EdgedeployError as error:
            raise PassSkipped(f"onnxruntime does not let its values' shapes be watched: {error.why}") from error
        coupling = find_coupling(model, shapes, self.keep)
        groups, left = find_channel_groups(coupling, self.multiple_of)
        groups = [group for group in groups if group.levels(self.at_most)]
        if not groups:
            why = f" ({_reasons(left)})" if left else f": layers have no more than {self.multiple_of} channels"
            raise PassSkipped(f"there is no channel that can be removed{why}")
        estimates = self._estimates(model, coupling, groups, samples, context)
        cost = Cost(coupling, groups, self.objective)
        levels = choose_levels(groups, estimates, cost, self.ratio)
        counts = [group.removed_at(level) for group, level in zip(groups, levels, strict=True)]
        removed = frozenset(
            int(root) for estimate, count in zip(estimates, counts, strict=True) for root in estimate.order[:count]
        )
        if not removed:
            raise PassSkipped("every channel that could be removed is needed to run the model")
        replacements: dict[Operand, np.ndarray] = {}
        fitted = 0
        if self.reconstruct:
            replacements, fitted = reconstruct(model, coupling, removed, samples, shapes, context.progress)
        result = rewrite(model, coupling, removed, replacements)
        return result, {
            **_macs(model, result, feed, (cost.total, cost.of(counts))),
            "parameters_before": _parameters(model),
            "parameters_after": _parameters(result),
            "objective_removed": round(1.0 - cost.of(counts) / cost.total, 4) if cost.total else 0.0,
            "objective_wanted": self.ratio,
            **_removed_facts(coupling, groups, counts),
            "layers_fitted": fitted,
            "layers_unprunable": len(left),
            "unprunable": _reasons(left),
            "calibration_samples": samples.count,
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        if int(facts["parameters_after"]) >= int(facts["parameters_before"]):
            raise PostconditionError("the model has no fewer parameters than before")

    def _estimates(
        self, model: ir.Model, coupling: Coupling, groups: list[ChannelGroup], samples: Samples, context: Context
    ) -> list[Estimate]:
        if self.importance == "magnitude":
            return by_magnitude(model, coupling, groups, self.at_most)
        assert context.calibration is not None
        # They do not depend on the ratio, which a search varies.
        key = (
            "prune-channels",
            hashlib.sha256(serialized(model)).hexdigest(),
            context.calibration.spec,
            self.samples,
            self.multiple_of,
            self.at_most,
            self.keep,
            self.reconstruct,
        )
        if key not in context.memo:
            context.memo[key] = by_activations(
                model,
                coupling,
                groups,
                samples,
                self.at_most,
                make_up=self.reconstruct,
                progress=context.progress,
            )
        found: list[Estimate] = context.memo[key]
        return found


def _macs(before: ir.Model, after: ir.Model, feed: Feed, estimated: tuple[int | float, int | float]) -> Facts:
    """MACs of both models on the feed; what they are estimated at where they cannot be counted."""
    shapes = {name: array.shape for name, array in feed.items()}
    counted = [count_macs(ir.to_proto(model), shapes)[0] for model in (before, after)]
    macs = [guess if count is None else count for count, guess in zip(counted, estimated, strict=True)]
    return {"macs_before": macs[0], "macs_after": macs[1]}


def _removed_facts(coupling: Coupling, groups: Sequence[ChannelGroup], counts: Sequence[int]) -> Facts:
    """How many channels went, over all layers that gave them, and from how many layers.

    Args:
        counts: of each group, how many of its sets of channels are removed.
    """
    narrowed = [(group, count) for group, count in zip(groups, counts, strict=True) if count]
    return {
        "channels_removed": sum(count * _times(coupling, group) for group, count in narrowed),
        "layers_narrowed": len({layer for group, _ in narrowed for layer in group.producers}),
    }


def _parameters(model: ir.Model) -> int:
    """Elements of floating-point weights."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.size for tensor in tensors if tensor is not None and tensor.dtype.is_floating_point())


def _times(coupling: Coupling, group: ChannelGroup) -> int:
    """Output channels, over all layers, that one removed set stands for."""
    layers = (coupling.layers[number].outputs for number in group.producers)
    return sum(int((coupling.sets.roots(ids) == group.roots[0]).sum()) for ids in layers if ids is not None)


def _reasons(left: Iterable[Unprunable]) -> str:
    """`"3 layers: they are the model's output; …"`, the most frequent first."""
    counts = Counter(layer.reason for layer in left)
    return "; ".join(f"{count} layer{'s' if count > 1 else ''}: {reason}" for reason, count in counts.most_common())
