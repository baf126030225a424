"""The order in which a search tries things: a greedy walk.

All variants are tried as they are; those that cost too much accuracy and may be mixed get their costliest layers back
in float; the best are tried again behind pruning.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from enum import IntEnum

from msgspec import structs

from edgedeploy.optimize.base import Pass
from edgedeploy.optimize.recipes.recipe import Variant
from edgedeploy.optimize.request import OptimizeRequest
from edgedeploy.optimize.search import mixed
from edgedeploy.optimize.search.evaluator import Evaluator
from edgedeploy.optimize.search.journal import Journal
from edgedeploy.optimize.search.pareto import front, holds_beyond_doubt, rank
from edgedeploy.values.search import LayerDamage, Trial

_WALK_SHARE = 0.75
"""Of the time budget: what is left is for judging the best on all of the data."""
_PRUNED_VARIANTS = 2
"""How many of the best variants are tried behind pruning."""
_MIXED_VARIANTS = 2
"""How many variants that are over the budget are tried with layers in float."""


class SearchClock:
    """The time that a search has spent, in seconds, and whether there is time for another trial."""

    def __init__(self, budget_s: float) -> None:
        self._started_s = time.monotonic()
        self._budget_s = budget_s

    @property
    def spent_s(self) -> float:
        """Since the search began."""
        return time.monotonic() - self._started_s

    def out_of_time(self) -> bool:
        """Return whether no new trial may begin."""
        return self.spent_s > self._budget_s * _WALK_SHARE


class Standing(IntEnum):
    """How likely a trial is to hold on all of the data; the most likely first."""

    BEYOND_DOUBT = 0
    """Within the budget beyond reasonable doubt."""
    WITHIN_BUDGET = 1
    BY_CHANCE = 2
    """Over the budget by no more than chance may do on the few samples of a search."""
    LAST_RESORT = 3
    """The prepared model itself."""


class SearchWalk:
    """A search over the variants of a recipe."""

    def __init__(self, request: OptimizeRequest, evaluator: Evaluator, journal: Journal, clock: SearchClock) -> None:
        self.evaluator = evaluator
        self.clock = clock
        self.layers: list[LayerDamage] = []
        """What quantizing each layer alone costs, the costliest first, of the first variant that was mixed."""
        self.ended_by_time = False
        self._request = request
        self._journal = journal
        self._source_size_bytes = request.source.facts.size_bytes
        self._front: list[str] = []

    def run(self) -> None:
        """Try all there is to try, or as much as there is time for."""
        self._attempt("as prepared", ())
        for number, variant in enumerate(self._request.recipe.variants):
            # The first is the safest: whoever gives too little time for anything gets that.
            if number > 0 and self._is_late():
                return
            self._attempt(variant.name, variant.passes)
        for variant in self._too_costly():
            if self._is_late():
                return
            self._mix(variant)
        for name, passes in self._pruned():
            if self._is_late():
                return
            self._attempt(name, passes)

    def candidates(self) -> list[Trial]:
        """Return the trials that may be taken, in the order they are to be held against all of the data."""
        found: list[tuple[Standing, tuple[float, float, float], Trial]] = []
        for trial in self.evaluator.trials.values():
            standing = self._standing(trial)
            if standing is not None:
                place = rank(trial, self._request.search.objective, self._source_size_bytes)
                found.append((standing, place, trial))
        return [trial for _, _, trial in sorted(found, key=lambda each: each[:2])]

    def _standing(self, trial: Trial) -> Standing | None:
        """Return None for a trial that was refused, or is over the budget by more than chance."""
        if trial.refused is not None:
            return None
        if not trial.passes:
            return Standing.LAST_RESORT
        if trial.over_budget is not None:
            is_chance = trial.change is not None and trial.change.least_loss <= 0
            return Standing.BY_CHANCE if is_chance else None
        is_sure = holds_beyond_doubt(trial, self._allowed(trial))
        return Standing.BEYOND_DOUBT if is_sure else Standing.WITHIN_BUDGET

    def _allowed(self, trial: Trial) -> float:
        """Return how much worse a trial's metric may be than the float model's on the same samples."""
        before = trial.metric - trial.change.value if trial.metric is not None and trial.change is not None else 0.0
        return self._request.drop.of(before)

    def _is_late(self) -> bool:
        self.ended_by_time = self.ended_by_time or self.clock.out_of_time()
        return self.ended_by_time

    def _attempt(self, name: str, passes: Sequence[Pass]) -> None:
        self._request.progress.step(f"trial {len(self.evaluator.trials) + 1}: {name}")
        self._show(self.evaluator.attempt(name, passes))

    def _show(self, trial: Trial) -> None:
        """Report a trial, its speed measured if it may still win by that."""
        if trial.over_budget is None and trial.refused is None and self._request.search.objective != "size":
            trial = self.evaluator.time(trial.name)
        self._request.progress.note(trial_in_words(trial, self._source_size_bytes))
        holding = [each for each in self.evaluator.trials.values() if each.over_budget is None]
        names = [each.name for each in front(holding)]
        if names != self._front:
            self._front = names
            self._request.progress.note(f"the front now: {', '.join(names)}")

    def _too_costly(self) -> list[Variant]:
        """Return the variants worth mixing: over the budget as they are; the least over comes first."""
        trials = self.evaluator.trials
        over = [
            variant
            for variant in self._request.recipe.variants
            if variant.mixed
            and mixed.can_be_mixed(variant.passes)
            and variant.name in trials
            and trials[variant.name].over_budget is not None
        ]
        return sorted(over, key=lambda variant: trials[variant.name].loss)[:_MIXED_VARIANTS]

    def _mix(self, variant: Variant) -> None:
        layers = self.evaluator.layer_names()
        if len(layers) < 2:
            return
        progress, out_of_time = self._request.progress, self.clock.out_of_time
        damages = mixed.layer_damages(self.evaluator, variant, layers, self._journal, progress, out_of_time)
        self.layers = self.layers or damages
        progress.step(f"bringing {variant.name} under the budget")
        best = mixed.fewest_in_float(self.evaluator, variant, damages, out_of_time)
        if best is not None:
            self._show(best)

    def _pruned(self) -> Iterator[tuple[str, tuple[Pass, ...]]]:
        """Yield name and passes of the best variants behind pruning, each ratio as long as the one before held."""
        pruning = self._request.recipe.pruning
        if pruning is None:
            return
        best = [trial for trial in self.candidates() if trial.passes and trial.over_budget is None][:_PRUNED_VARIANTS]
        for trial in best:
            for ratio in sorted(pruning.ratios):
                name = f"{ratio:.0%} pruned, {trial.name}"
                yield name, (structs.replace(pruning.step, ratio=ratio), *self.evaluator.passes_of(trial.name))
                tried = self.evaluator.trials.get(name)
                # What costs too much will not cost less when more is removed.
                if tried is not None and (tried.over_budget is not None or tried.refused is not None):
                    break


def trial_in_words(trial: Trial, source_size_bytes: int) -> str:
    """Return a trial in one line, as it is shown while the search runs."""
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
