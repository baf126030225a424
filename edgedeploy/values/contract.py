"""The hand-over from the people who trained a model, and whether it is kept."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field, structs

from edgedeploy.values.bundle import ContractReference
from edgedeploy.values.data import DataSource
from edgedeploy.values.head import Head
from edgedeploy.values.search import Objective

Allowance = Literal["larger", "loss", "slower", "unjudged"]
"""What may be allowed by name: a result that is larger, that lost more than the budget, that is slower, or that could
not be judged. What does not load or run, or gives NaN for numbers, is never let through."""


class ContractModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    version: str
    framework: str
    file: str
    """Relative to the contract's folder."""
    sha256: str
    parameters: int | None = None
    owner: str | None = None
    """Whom to ask when the contract breaks."""
    expires: datetime.date | None = None
    """The last day on which what is measured may be held against this contract."""


class ContractData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    evaluation: str | DataSource
    """A dataset with labels: its path, or a table with the keys of a `data.toml`. Paths are relative to the contract's
    folder."""
    evaluation_sha256: str | None = None
    calibration: str | DataSource | None = None
    metric: str = "top1"
    preprocessing: dict[str, Any] = {}
    """Of both datasets, where their own tables do not say otherwise."""
    embed_preprocessing: bool = False
    """What is declared for pictures goes into the model when it is compiled: on devices it takes pictures."""
    head: Head | None = None
    """What turns the model's outputs into answers, for metrics that need it; of both datasets, where their own tables
    name none."""


class ContractOptimization(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    recipe: str = "int8"
    objective: Objective = "balanced"
    """Of a recipe that is a search."""
    time_budget_s: float = 600.0
    """Of a recipe that is a search."""
    allow: tuple[Allowance, ...] = ()
    """Objections of the guard that are not to stop the result."""


class TargetLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds on one target only."""

    peak_memory_max_bytes: int | None = None
    latency_p50_max_ms: float | None = None
    latency_p90_max_ms: float | None = None
    latency_p95_max_ms: float | None = None
    latency_p99_max_ms: float | None = None
    load_max_ms: float | None = None
    """Importing the runtime and loading the model, once in a fresh process; the files may be in memory already."""
    instructions_max: int | None = None
    """Of one inference (the median), on an emulated board that counts them: work, not time."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    metric_min: float | None = None
    """Floor for the metric on the device."""
    metric_max: float | None = None
    """Ceiling for the metric on the device, of metrics that are better where they are smaller."""
    metric_max_drop: float | None = None
    """How much worse the metric on the device may be than the float model's on the host."""
    metric_max_drop_relative: float | None = None
    """The same as a part of the float model's: 0.02 is 2 % of it."""
    agreement_top1_min: float | None = None
    """Floor for the share of samples that the device answers as the host does."""
    size_max_bytes: int | None = None
    size_reduction_min: float | None = None
    """Of the model file, against the float one: 0.45 is 45 % smaller."""
    parameters_max: int | None = None
    target: dict[str, TargetLimits] = {}


class LimitRule(Struct, frozen=True):
    """How figures are held against a limit, and what the limit is a number of."""

    direction: Literal["min", "max"]
    """Whether the figure may be no smaller than the limit, or no larger."""
    kind: Literal["metric", "drop", "ratio", "share", "bytes", "ms", "count", "day"]
    """`"metric"` is a value of the contract's metric, `"drop"` a difference of two; both are shares where the metric
    is one. `"ratio"` is a part of something, `"share"` one from 0 to 1."""


LIMIT_RULES: dict[str, LimitRule] = {
    "metric_min": LimitRule("min", "metric"),
    "metric_max": LimitRule("max", "metric"),
    "metric_max_drop": LimitRule("max", "drop"),
    "metric_max_drop_relative": LimitRule("max", "ratio"),
    "agreement_top1_min": LimitRule("min", "share"),
    "size_max_bytes": LimitRule("max", "bytes"),
    "size_reduction_min": LimitRule("min", "share"),
    "parameters_max": LimitRule("max", "count"),
    "peak_memory_max_bytes": LimitRule("max", "bytes"),
    "latency_p50_max_ms": LimitRule("max", "ms"),
    "latency_p90_max_ms": LimitRule("max", "ms"),
    "latency_p95_max_ms": LimitRule("max", "ms"),
    "latency_p99_max_ms": LimitRule("max", "ms"),
    "load_max_ms": LimitRule("max", "ms"),
    "instructions_max": LimitRule("max", "count"),
}
"""Of each field of `Limits` and `TargetLimits` but the table of targets."""
_LINE_RULES = LIMIT_RULES | {
    # Of `ship`, by the device's own clock.
    "device_time_max": LimitRule("max", "count"),
    "expires": LimitRule("max", "day"),
    # Of a baseline; its other limits are called as those of a contract.
    "model_size_max_bytes": LimitRule("max", "bytes"),
    "release_max": LimitRule("max", "count"),
}


def stated_limits(limits: Limits | TargetLimits) -> Iterator[tuple[str, float]]:
    """Yield the name and value of each limit that a contract states, in the order of the fields."""
    for name, value in structs.asdict(limits).items():
        if name in LIMIT_RULES and value is not None:
            yield name, value


class Contract(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One contract file (TOML)."""

    schema: int
    model: ContractModel
    data: ContractData
    limits: Limits
    optimization: ContractOptimization = ContractOptimization()
    folder: Path = field(default_factory=Path)
    """Where the file lies; set by the loader."""
    reference: ContractReference | None = None
    """What bundles say of it; set by the loader."""


class Outcome(StrEnum):
    HOLDS = "holds"
    BREAKS = "breaks"
    NOT_DETERMINED = "cannot be told"


class VerdictLine(Struct, frozen=True, kw_only=True):
    key: str
    """The contract's key, e.g. `"limits.metric_max_drop"`."""
    limit: float | int | str
    figure: float | int | str | None
    unit: str
    """`"bytes"`, `"ms"`, `"share"`, `""`."""
    outcome: Outcome
    reason: str
    """Where the figure comes from, or why there is none."""

    @property
    def rule(self) -> LimitRule | None:
        """How the figure is held against the limit; None where both have to be the same."""
        # What stands before the limit's own name are names that people chose: models, targets.
        return _LINE_RULES.get(self.key.rpartition(".")[2])


class Verdict(Struct, frozen=True, kw_only=True):
    kind: Literal["contract", "hand-over", "baseline", "comparison"] = "contract"
    """What the measurement was held against."""
    contract: str
    """Name and version of the model."""
    lines: tuple[VerdictLine, ...]
    owner: str | None = None
    """Of the contract: whom to ask."""
    outcome: Outcome
    """Breaks if a line breaks; cannot be told if no limit holds (or, when strict, if a line cannot be told); else
    holds."""
