"""A budget search: which recipe makes this model smallest or fastest and keeps its accuracy?

A greedy walk. All variants are tried as they are; those that cost too much accuracy and may be mixed get their
costliest layers back in float; the best are tried again behind pruning. Then the trials are held against all of the
data, the best first, and the first that the guard accepts is taken. What was tried is in a journal, so a search that
was stopped goes on where it was.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir
from msgspec import Struct, structs

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.optimize.base import Pass
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.guard import GuardResult
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.recipe import Recipe, Variant
from edgedeploy.optimize.search import mixed
from edgedeploy.optimize.search.evaluator import Evaluator
from edgedeploy.optimize.search.files import journal_path
from edgedeploy.optimize.search.journal import Journal
from edgedeploy.optimize.search.pareto import front, holds_beyond_doubt, rank
from edgedeploy.optimize.source_model import SourceModel
from edgedeploy.values.contract import Allowance
from edgedeploy.values.evidence import PassEvidence
from edgedeploy.values.search import LayerDamage, Objective, Search, Trial

_FINAL_SHARE = 0.75
"""Of the time: what is left is for judging the best on all of the data."""
_PRUNED_VARIANTS = 2
"""How many of the best variants are tried behind pruning."""


class SearchSettings(Struct, frozen=True, kw_only=True):
    """What a search is after."""

    objective: Objective = "balanced"
    time_budget_s: float = 600.0
    """After which no new trial begins but the recipe's first. What has been found until then is used."""

    def __post_init__(self) -> None:
        if not self.time_budget_s > 0:
            raise ValueError(f"a time budget of {self.time_budget_s} s leaves no time")


class SearchOutcome(Struct, frozen=True, kw_only=True):
    """What came of a search."""

    content: bytes
    """The result that was accepted, or, when none was, the one that looked best."""
    passes: tuple[PassEvidence, ...]
    guard_result: GuardResult
    search: Search


def search(
    source_model: SourceModel,
    recipe: Recipe,
    settings: SearchSettings,
    output: Path,
    *,
    max_drop: float,
    speed: SpeedJudge | None,
    board: Board | None = None,
    allowed: Collection[Allowance] = (),
) -> SearchOutcome:
    """Try the recipe's variants on the model and return the best that the guard accepts.

    Args:
        output: where the result will be; the journal lies beside it until the search has ended.

    Raises:
        UnsupportedError: there is no data at all that the model runs on.
        HostError: the journal cannot be written.
    """
    data = source_model.data.for_judging()
    if data is None:
        raise UnsupportedError(
            f"{source_model.path} cannot be searched over",
            why="no data was given, and the model takes no input that was made up",
            hint="give --evaluation or --calibration data",
        )
    clock = _Clock(settings.time_budget_s)
    journal = Journal(journal_path(output), _identity(source_model, recipe, max_drop, speed))
    if journal.resumed:
        source_model.progress.note(f"going on with a search that was stopped after {journal.resumed} trials")
    prepared, preparation = _prepare(source_model, recipe)
    with tempfile.TemporaryDirectory(prefix="edgedeploy-") as folder:
        evaluator = Evaluator(
            source_model,
            prepared,
            recipe.finish,
            data=data,
            max_drop=max_drop,
            speed=speed,
            journal=journal,
            folder=Path(folder),
        )
        walk = _Walk(source_model, recipe, settings, evaluator, journal, clock, prepared, max_drop)
        walk.run()
        found = _settle(walk, preparation, max_drop=max_drop, speed=speed, board=board, allowed=allowed)
    if found.search.ended == "all tried":
        journal.remove()
    return found


def _prepare(source_model: SourceModel, recipe: Recipe) -> tuple[ir.Model | None, tuple[PassEvidence, ...]]:
    if source_model.format != "onnx":
        return None, ()
    return run_passes(source_model.graph(), recipe.passes, source_model.context())


class _Clock:
    def __init__(self, budget_s: float) -> None:
        self._begun = time.monotonic()
        self._budget_s = budget_s

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._begun

    def out_of_time(self) -> bool:
        return self.spent_s > self._budget_s * _FINAL_SHARE


class _Walk:
    """The search as it goes."""

    def __init__(
        self,
        source_model: SourceModel,
        recipe: Recipe,
        settings: SearchSettings,
        evaluator: Evaluator,
        journal: Journal,
        clock: _Clock,
        prepared: ir.Model | None,
        max_drop: float,
    ) -> None:
        self.source_model = source_model
        self.recipe = recipe
        self.settings = settings
        self.evaluator = evaluator
        self.clock = clock
        self.layers: list[LayerDamage] = []
        self.ended_by_time = False
        self._journal = journal
        self._prepared = prepared
        self._max_drop = max_drop
        self._source_size_bytes = source_model.facts.size_bytes
        self._front: list[str] = []

    def run(self) -> None:
        """Try all there is to try, or as much as there is time for."""
        self._attempt("as prepared", ())
        for number, variant in enumerate(self.recipe.variants):
            # The first is the safest: whoever gives too little time for anything gets that.
            if number > 0 and self._late():
                return
            self._attempt(variant.name, variant.passes)
        for variant in self._too_costly():
            if self._late():
                return
            self._mix(variant)
        for name, passes, ratio in self._pruned():
            if self._late():
                return
            assert self.recipe.pruning is not None
            step = structs.replace(self.recipe.pruning.step, ratio=ratio)
            self._attempt(f"{ratio:.0%} pruned, {name}", (step, *passes))

    def candidates(self) -> list[Trial]:
        """The trials that may be taken, in the order they are to be held against all of the data.

        First come those within the budget beyond reasonable doubt, then those within it, then those over it by no more
        than chance may do on the few samples of a search; the prepared model itself is the last resort.
        """
        found = []
        for trial in self.evaluator.trials.values():
            if trial.refused is not None:
                continue
            if not trial.passes:
                standing = 3
            elif trial.over_budget is not None:
                if trial.change is None or trial.change.high < 0:
                    continue
                standing = 2
            else:
                standing = 0 if holds_beyond_doubt(trial, self._max_drop) else 1
            found.append((standing, self._rank(trial), trial))
        return [trial for _, _, trial in sorted(found, key=lambda one: one[:2])]

    def _rank(self, trial: Trial) -> tuple[float, float, float]:
        return rank(trial, self.settings.objective, self._source_size_bytes)

    def _late(self) -> bool:
        self.ended_by_time = self.ended_by_time or self.clock.out_of_time()
        return self.ended_by_time

    def _attempt(self, name: str, passes: Sequence[Pass]) -> Trial:
        tried = len(self.evaluator.trials) + 1
        self.source_model.progress.step(f"trial {tried}: {name}")
        trial = self.evaluator.attempt(name, passes)
        return self._show(trial)

    def _show(self, trial: Trial) -> Trial:
        if trial.over_budget is None and trial.refused is None and self.settings.objective != "size":
            trial = self.evaluator.time(trial.name)
        self.source_model.progress.note(in_one_line(trial, self._source_size_bytes))
        shown = [one.name for one in front([t for t in self.evaluator.trials.values() if t.over_budget is None])]
        if shown != self._front:
            self._front = shown
            self.source_model.progress.note(f"the front now: {', '.join(shown)}")
        return trial

    def _too_costly(self) -> Iterator[Variant]:
        """Variants worth mixing: over the budget as they are, and better than what holds it, should they be brought
        under it. The least over comes first."""
        trials = self.evaluator.trials
        over = [
            variant
            for variant in self.recipe.variants
            if variant.mixed
            and mixed.can_be_mixed(variant.passes)
            and variant.name in trials
            and trials[variant.name].over_budget is not None
        ]
        yield from sorted(over, key=lambda variant: trials[variant.name].loss)[:2]

    def _mix(self, variant: Variant) -> None:
        layers = self._layer_names()
        if len(layers) < 2:
            return
        damages = mixed.damages(
            self.evaluator,
            variant.name,
            variant.passes,
            layers,
            self._journal,
            self.source_model.progress,
            self.clock.out_of_time,
        )
        self.layers = self.layers or damages
        self.source_model.progress.step(f"bringing {variant.name} under the budget")
        best = mixed.fewest_in_float(self.evaluator, variant.name, variant.passes, damages, self.clock.out_of_time)
        if best is not None:
            self._show(best)

    def _layer_names(self) -> dict[str, str]:
        if self._prepared is not None:
            return mixed.layer_names(self._prepared)
        from edgedeploy.optimize.tflite.pipeline import layer_names

        return layer_names(self.source_model.content)

    def _pruned(self) -> Iterator[tuple[str, tuple[Pass, ...], float]]:
        if self.recipe.pruning is None:
            return
        ordered = [one for one in self.candidates() if one.passes and one.over_budget is None][:_PRUNED_VARIANTS]
        for trial in ordered:
            for ratio in sorted(self.recipe.pruning.ratios):
                yield trial.name, self.evaluator.passes_of(trial.name), ratio
                tried = self.evaluator.trials.get(f"{ratio:.0%} pruned, {trial.name}")
                # What costs too much will not cost less when more is removed.
                if tried is not None and (tried.over_budget is not None or tried.refused is not None):
                    break


def _settle(
    walk: _Walk,
    preparation: tuple[PassEvidence, ...],
    *,
    max_drop: float,
    speed: SpeedJudge | None,
    board: Board | None,
    allowed: Collection[Allowance],
) -> SearchOutcome:
    """Hold the best against all of the data, in turn, until the guard accepts one."""
    source_model, evaluator = walk.source_model, walk.evaluator
    rejected: dict[str, str] = {}
    first: SearchOutcome | None = None
    chosen: str | None = None
    for trial in walk.candidates():
        source_model.progress.step(f"judging {trial.name} on all of the data")
        content, evidence = evaluator.build(evaluator.passes_of(trial.name))
        guard_result = source_model.judge(
            content, max_drop=max_drop, tolerance=None, speed=speed, board=board, allowed=allowed
        )
        outcome = SearchOutcome(
            content=content,
            passes=(*preparation, *evidence),
            guard_result=guard_result,
            search=_summary(walk, None, {}),
        )
        first = first or outcome
        if guard_result.accepted:
            chosen, first = trial.name, outcome
            break
        rejected[trial.name] = guard_result.refusals[0]
        source_model.progress.note(f"{trial.name} does not hold: {guard_result.refusals[0]}")
    if first is None:
        # Not even the prepared model holds: it says why.
        content, evidence = evaluator.build(())
        guard_result = source_model.judge(
            content, max_drop=max_drop, tolerance=None, speed=speed, board=board, allowed=allowed
        )
        first = SearchOutcome(
            content=content,
            passes=(*preparation, *evidence),
            guard_result=guard_result,
            search=_summary(walk, None, {}),
        )
    return structs.replace(first, search=_summary(walk, chosen, rejected))


def _summary(walk: _Walk, chosen: str | None, rejected: dict[str, str]) -> Search:
    trials = tuple(walk.evaluator.trials.values())
    return Search(
        objective=walk.settings.objective,
        source_size_bytes=walk.source_model.facts.size_bytes,
        trials=trials,
        front=tuple(trial.name for trial in front([trial for trial in trials if trial.over_budget is None])),
        layers=tuple(walk.layers),
        chosen=chosen,
        rejected=rejected,
        ended="time budget" if walk.ended_by_time else "all tried",
        seconds=walk.clock.spent_s,
    )


def in_one_line(trial: Trial, source_size_bytes: int) -> str:
    """A trial as it is shown while the search runs."""
    if trial.refused is not None or trial.size_bytes is None:
        return f"{trial.name}: {trial.refused}"
    parts = [f"{trial.size_bytes:,} bytes ({trial.size_bytes / source_size_bytes - 1:+.0%})"]
    if trial.change is not None:
        parts.append(f"metric {trial.change.value:+.4f}")
    elif trial.top1_match is not None:
        parts.append(f"{trial.top1_match:.1%} of answers kept")
    if trial.sqnr_db is not None:
        parts.append(f"SQNR {trial.sqnr_db:.1f} dB")
    if trial.speed is not None:
        parts.append(f"{trial.speed.ratio:.2f} of the {trial.speed.currency}")
    if trial.over_budget is not None:
        parts.append("over the budget")
    return f"{trial.name}: {', '.join(parts)}"


def _identity(source_model: SourceModel, recipe: Recipe, max_drop: float, speed: SpeedJudge | None) -> dict[str, Any]:
    """All that decides the outcome of a trial."""
    data = source_model.data
    return {
        "model": source_model.facts.sha256,
        "calibration": data.calibration.sha256 if data.calibration else None,
        "evaluation": data.evaluation.sha256 if data.evaluation else None,
        "metric": source_model.metric.name if source_model.metric else None,
        "max_drop": max_drop,
        "target": source_model.target.name if source_model.target else None,
        "preparation": msgspec.to_builtins([*recipe.passes, *recipe.finish]),
        # Figures of one currency, or of one board, are none of another.
        "speed": None if speed is None else [type(speed).__name__, str(getattr(speed, "where", ""))],
        "versions": {
            name: importlib.metadata.version(name) for name in ("edgedeploy", "onnx-ir", "onnxruntime", "numpy")
        },
    }
