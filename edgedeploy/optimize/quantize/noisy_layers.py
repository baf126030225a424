"""Which few layers ruin an 8-bit model, so that they can stay in float.

One activation with outliers early in a network may cost more than all other layers together: a YOLOv8n of 64
convolutions had its scores at 11 dB, and at 17 dB with one convolution of 0.6 % of its work in float. The damage that a
layer does to its own output does not tell which it is, so the whole is tried: with blocks of neighboring layers in
float, then with each layer of the block that helps most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset, Sample
from edgedeploy.datasets.sampling import spread
from edgedeploy.foundation.progress import Progress
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.agreement import OutputAgreements
from edgedeploy.metrics.group_agreement import GroupAgreements, ReferenceGroups
from edgedeploy.model.macs import macs_by_output
from edgedeploy.optimize.graph.edit import constant, serialized
from edgedeploy.optimize.graph.linear import Linear

TROUBLE_DB = 15.0
"""A model whose outputs all have as much on calibration samples is left as it is: 8-bit networks that kept their
accuracy were measured at as much and more."""
ENOUGH_DB = 20.0
"""Where the search ends, and what groups of channels need from the start: scores are few numbers that count, so that
few samples tell little. A YOLOv8n with 15 dB on samples that its ranges came from had 11 dB on others."""
_LEAST_GAIN_DB = 1.0
"""Of the noisiest group: less is not worth a layer in float."""
_SAMPLES = 8
_BLOCKS = 8
_MOST_LAYERS = 4

Quantize = Callable[[tuple[str, ...]], ir.Model]
"""Returns the model with all layers quantized but those named."""


class NoisyLayers(Struct, frozen=True, kw_only=True):
    """Layers that stay in float, and what that does to the noisiest output or group of channels."""

    names: tuple[str, ...] = ()
    before_db: float
    after_db: float
    """SQNR; infinite where nothing differs."""


def find_noisy_layers(
    model: ir.Model, layers: Sequence[Linear], quantize: Quantize, data: Dataset, *, share: float, progress: Progress
) -> NoisyLayers:
    """Find the layers that bring most when they stay in float, until the noisiest group of channels has `ENOUGH_DB`;
    none where it is quiet enough anyway.

    Args:
        model: the float model. It is not changed.
        layers: that are quantized, in the graph's order.
        data: some samples of it are run.
        share: of all weights, and of all work, that these layers may have.

    Raises:
        EdgedeployError: a model does not run.
    """
    trial = _PartlyFloat(model, quantize, list(spread(data, _SAMPLES)))
    found = before = trial.noisiest_db(())
    kept: tuple[str, ...] = ()
    costs = _costs(model, layers, trial.samples[0])
    trouble = ENOUGH_DB if trial.has_groups else TROUBLE_DB
    while before < trouble and found < ENOUGH_DB and len(kept) < _MOST_LAYERS:
        spent = sum((costs[name] for name in kept), np.zeros(2))
        affordable = [name for name, cost in costs.items() if name not in kept and (spent + cost <= share).all()]
        progress.step(f"looking for the layers that cost most ({found:.1f} dB of {ENOUGH_DB:g} dB)")
        best_db, best = trial.best(kept, affordable)
        if best is None or best_db < found + _LEAST_GAIN_DB:
            break
        found, kept = best_db, (*kept, best)
    return NoisyLayers(names=kept, before_db=before, after_db=found)


class _PartlyFloat:
    """Runs what is quantized beside the float model, on a few samples."""

    def __init__(self, model: ir.Model, quantize: Quantize, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self._quantize = quantize
        session = HostSession(serialized(model), exact=True)
        self._names = session.output_names
        self._groups = ReferenceGroups(self._names)
        self._expected = [session.run(sample.feed) for sample in samples]
        self._batches = [self._groups.add(expected) for expected in self._expected]
        self.has_groups = bool(self._groups.groups())
        """Whether an output has channels that mean something else than the others."""
        self._known: dict[tuple[str, ...], float] = {}

    def noisiest_db(self, kept: tuple[str, ...]) -> float:
        """Return the SQNR of the noisiest output or group, with these layers in float."""
        key = tuple(sorted(kept))
        if key not in self._known:
            session = HostSession(serialized(self._quantize(kept)), exact=True)
            by_output, by_group = OutputAgreements(self._names), GroupAgreements(self._groups)
            for sample, expected, batch in zip(self.samples, self._expected, self._batches, strict=True):
                outputs = session.run(sample.feed)
                by_output.add(outputs, expected)
                by_group.add(outputs, batch)
            each = (*by_output.figures().values(), *by_group.figures().values())
            self._known[key] = min((one.sqnr_db for one in each if one.sqnr_db is not None), default=float("inf"))
        return self._known[key]

    def best(self, kept: tuple[str, ...], names: Sequence[str]) -> tuple[float, str | None]:
        """Return the layer that brings most beside those kept already, and the SQNR with it."""
        if not names:
            return -float("inf"), None
        blocks = [[str(name) for name in block] for block in np.array_split(np.array(names), _BLOCKS) if block.size]
        block = max(blocks, key=lambda block: self.noisiest_db((*kept, *block)))
        # Where all of them do not help, none of them does.
        if self.noisiest_db((*kept, *block)) < self.noisiest_db(kept) + _LEAST_GAIN_DB:
            return -float("inf"), None
        best = max(block, key=lambda name: self.noisiest_db((*kept, name)))
        return self.noisiest_db((*kept, best)), best


def _costs(model: ir.Model, layers: Sequence[Linear], sample: Sample) -> dict[str, np.ndarray]:
    """Return for each layer its shares of weights and of work, by the name of its output."""
    shapes = {name: array.shape for name, array in sample.feed.items()}
    macs = macs_by_output(ir.to_proto(model), shapes) or {}
    sizes: dict[str, int] = {}
    for layer in layers:
        weight = constant(layer.weight)
        sizes[layer.node.outputs[0].name or ""] = 0 if weight is None else weight.nbytes
    all_bytes, all_macs = max(sum(sizes.values()), 1), max(sum(macs.values()), 1)
    return {name: np.array([size / all_bytes, macs.get(name, 0) / all_macs]) for name, size in sizes.items()}
