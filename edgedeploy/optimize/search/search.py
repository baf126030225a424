"""A budget search: which variant of a recipe makes this model smallest or fastest and keeps its accuracy?

All variants are tried on a part of the data (`walk`). Then the trials are held against all of the data, the best first,
and the first that the guard accepts is taken. What was tried is in a journal, so a search that was stopped goes on
where it was.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir
from msgspec import structs

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.guard.guard import judge
from edgedeploy.optimize.outcome import OptimizeOutcome
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.request import OptimizeRequest
from edgedeploy.optimize.search.evaluator import Evaluator
from edgedeploy.optimize.search.files import journal_path
from edgedeploy.optimize.search.journal import Journal
from edgedeploy.optimize.search.pareto import front
from edgedeploy.optimize.search.walk import SearchClock, SearchWalk
from edgedeploy.values.evidence import PassEvidence
from edgedeploy.values.search import Search


def search(request: OptimizeRequest) -> OptimizeOutcome:
    """Try the recipe's variants on the model and return the best that the guard accepts.

    The journal lies beside the request's output until the search has ended.

    Raises:
        UnsupportedError: there is no data at all that the model runs on.
        HostError: the journal cannot be written.
    """
    clock = SearchClock(request.search.time_budget_s)
    evaluation = _evaluation(request)
    journal = Journal(journal_path(request.output), _identity(request))
    if journal.resumed:
        request.progress.note(f"going on with a search that was stopped after {journal.resumed} trials")
    prepared, preparation = _prepare(request)
    with scratch_folder() as folder:
        evaluator = Evaluator(request, evaluation, prepared, journal, Path(folder))
        walk = SearchWalk(request, evaluator, journal, clock)
        walk.run()
        outcome = _settle(request, walk, preparation)
    if not walk.ended_by_time:
        journal.remove()
    return outcome


def _evaluation(request: OptimizeRequest) -> Evaluation:
    evaluation = request.evaluation()
    if evaluation is None:
        raise UnsupportedError(
            f"{request.source.path} cannot be searched over",
            why="no data was given, and the model takes no input that was made up",
            hint="give --evaluation or --calibration data",
        )
    return evaluation


def _prepare(request: OptimizeRequest) -> tuple[ir.Model | None, tuple[PassEvidence, ...]]:
    """Apply the recipe's preparation; None for TensorFlow Lite models, which come prepared by their converter."""
    if request.source.format != "onnx":
        return None, ()
    return run_passes(request.source.graph(), request.recipe.passes, request.context())


def _settle(request: OptimizeRequest, walk: SearchWalk, preparation: tuple[PassEvidence, ...]) -> OptimizeOutcome:
    """Hold the candidates against all of the data, in turn, until the guard accepts one.

    When it accepts none, the outcome is the one that looked best.
    """
    guard_request, evaluator = request.guard_request(), walk.evaluator
    rejected: dict[str, str] = {}
    outcome: OptimizeOutcome | None = None
    chosen: str | None = None
    for trial in walk.candidates():
        request.progress.step(f"judging {trial.name} on all of the data")
        content, passes = evaluator.build(evaluator.passes_of(trial.name))
        guard_result = judge(content, guard_request)
        judged = OptimizeOutcome(content=content, passes=(*preparation, *passes), guard_result=guard_result)
        outcome = outcome or judged
        if guard_result.accepted:
            chosen, outcome = trial.name, judged
            break
        rejected[trial.name] = guard_result.refusals[0]
        request.progress.note(f"{trial.name} does not hold: {guard_result.refusals[0]}")
    if outcome is None:
        # Not even the prepared model holds: the guard says why.
        content, passes = evaluator.build(())
        guard_result = judge(content, guard_request)
        outcome = OptimizeOutcome(content=content, passes=(*preparation, *passes), guard_result=guard_result)
    return structs.replace(outcome, search=_summary(request, walk, chosen, rejected))


def _summary(request: OptimizeRequest, walk: SearchWalk, chosen: str | None, rejected: dict[str, str]) -> Search:
    trials = tuple(walk.evaluator.trials.values())
    return Search(
        objective=request.search.objective,
        source_size_bytes=request.source.facts.size_bytes,
        trials=trials,
        front=tuple(trial.name for trial in front([trial for trial in trials if trial.over_budget is None])),
        layers=tuple(walk.layers),
        chosen=chosen,
        rejected=rejected,
        ended="time budget" if walk.ended_by_time else "all tried",
        seconds=walk.clock.spent_s,
    )


def _identity(request: OptimizeRequest) -> dict[str, Any]:
    """Return all that decides the outcome of a trial: a journal with another identity is another search's."""
    recipe, speed = request.recipe, request.speed
    return {
        "model": request.source.facts.sha256,
        "calibration": request.data.calibration_sha256,
        "evaluation": request.data.evaluation_sha256,
        "metric": request.metric.name if request.metric else None,
        "max_drop": str(request.drop) if request.drop.relative else request.drop.amount,
        "target": request.target.name if request.target else None,
        "preparation": msgspec.to_builtins([*recipe.passes, *recipe.finish]),
        # Figures of one currency, or of one board, are none of another.
        "speed": None if speed is None else [type(speed).__name__, str(getattr(speed, "where", ""))],
        "versions": {
            name: importlib.metadata.version(name) for name in ("edgedeploy", "onnx-ir", "onnxruntime", "numpy")
        },
    }
