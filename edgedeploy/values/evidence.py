"""What optimizing a model did and what it cost."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.values.model import ModelFacts
from edgedeploy.values.quality import Agreement, AnswersKept, Broken, ByClass, MetricChange, MetricFigure, MetricTrust
from edgedeploy.values.search import Search
from edgedeploy.values.speed import SpeedFigure


class PassReach(Struct, frozen=True, kw_only=True):
    """How much of the model a pass took hold of, that makes weights fewer, smaller or zero."""

    weight_bytes: int
    """Of the float weights that it changed."""
    weight_bytes_total: int
    """Of all float weights that it found, in the model as it was before this pass."""
    macs: int | None = None
    """Multiply-accumulate operations of the nodes whose weights it changed; None where the pass leaves the computation
    as it is, or that cannot be counted."""
    macs_total: int | None = None
    """Of the whole model before this pass."""
    left: str = ""
    """What it did not reach and why, in words; empty where it reached all."""

    @property
    def weight_share(self) -> float:
        """In [0, 1]; 1 where there are no float weights."""
        return self.weight_bytes / self.weight_bytes_total if self.weight_bytes_total else 1.0


class PassEvidence(Struct, frozen=True, kw_only=True):
    """One pass of a recipe, as it went."""

    name: str
    changed: bool
    refused: str | None
    """Why the pass left the model as it was; None when it ran."""
    facts: dict[str, int | float | str]
    """What it did, e.g. `{"nodes_removed": 12}`; keys carry units."""
    size_bytes: int
    """Of the model after this pass."""
    reach: PassReach | None = None
    """None for passes that do not change weights by design, and those that left the model as it was."""


class Execution(Struct, frozen=True, kw_only=True):
    """One way of running the result, and how it compares with the float model on the host."""

    arithmetic: str
    """`"exact"` (each QDQ pair evaluated in float: what a kernel without saturation gives), `"host"` (this machine's
    integer kernels) or `"board"` (those of an emulated board's core)."""
    isa: str
    """Instruction-set features of the host that decide its integer kernels, e.g. `"x86-64 avx2"`, or the board."""
    metric: MetricFigure | None
    agreement: Agreement
    change: MetricChange | None = None
    """Of the metric, from the float model's."""
    kept: AnswersKept | None = None
    """Of the float model's detections, pixels or text; None where no head is declared, or it finds none."""
    rank_correlation: float | None = None
    """Of embeddings and series, by the task of the data: with the float model's order of the samples, in [-1, 1]."""
    classes: ByClass | None = None
    """Against the float model; None unless the metric is top1, and on an emulated board."""
    broken: Broken | None = None
    """Against the float model; None without labels, and on an emulated board, which runs some samples only."""
    by_output: dict[str, Agreement] = {}
    """Of each output by itself, where the model has several."""
    by_group: dict[str, Agreement] = {}
    """Of each group of channels of an output that mean something else than the others (boxes beside scores), by the
    head's name for it, `"output[classes]"`, or where no head is declared as NumPy indexes it, `"output[:, 4:84]"`. Of
    outputs whose channels are all of one kind there is none."""


class LayerNoise(Struct, frozen=True, kw_only=True):
    """How far the output of one layer lies from the float model's, in exact arithmetic."""

    layer: str
    """Name of its node's first output."""
    operator: str
    sqnr_db: float | None
    """None where it is the same."""
    before_db: float | None
    """Of the noisiest of the layers that feed it; None where none does, or those are the same as the float model's."""

    @property
    def added(self) -> float:
        """The noise that comes in here, as a share of the signal's power; 0 where it only passes through."""
        here, before = (0.0 if db is None else 10 ** (-db / 10) for db in (self.sqnr_db, self.before_db))
        return max(0.0, here - before)


class Evidence(Struct, frozen=True, kw_only=True):
    """All that `optimize` knows about one result."""

    recipe: str
    target: str | None
    source: ModelFacts
    result: ModelFacts | None
    """None when the passes gave a model that does not load."""
    passes: tuple[PassEvidence, ...]
    calibration_samples: int
    evaluation_sha256: str | None
    """Of the dataset that the metrics below are over; a later drop is only told against the same one."""
    source_metric: MetricFigure | None
    max_drop: float
    """How much worse the metric may get: in its own units, or as `max_drop_relative` says."""
    executions: tuple[Execution, ...]
    """In exact arithmetic first: the one that is judged."""
    speed: SpeedFigure | None = None
    """None when it was not judged."""
    speed_unjudged: str = ""
    """Why it was not judged; empty where it was, and in files from before this was recorded."""
    layers: tuple[LayerNoise, ...] = ()
    """In the order in which they are computed, over a few samples; empty where nothing was quantized, of a search
    (which tells what each layer costs in `search`), and of TensorFlow Lite models."""
    search: Search | None = None
    """What was tried, when the recipe is a search."""
    accepted: bool
    reasons: tuple[str, ...]
    """Why it was not accepted, or what is to be known although it was; one sentence each."""
    tools: dict[str, str]
    """Versions of what did it: edgedeploy, onnx, onnx_ir, onnxruntime, numpy."""
    model_name: str | None = None
    """Name on devices of the model that `source` is about; None in evidence of an older edgedeploy."""
    metric_trust: MetricTrust | None = None
    """How far the metric can be trusted; None without one, and in files from before it was tried."""
    max_drop_relative: bool = False
    """Whether `max_drop` is a part of the float model's metric."""
