"""A recipe on a model, the guard on the result, and the evidence of both."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import structs

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.files import replacing_file
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.failing_node import failing_node_in_words
from edgedeploy.optimize.guard.guard import judge
from edgedeploy.optimize.guard.layer_noise import layer_noise
from edgedeploy.optimize.guard.result import GuardResult, ViolationKind
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.optimize.outcome import OptimizeOutcome
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.reach import reach_notes
from edgedeploy.optimize.recipes.recipe import Recipe
from edgedeploy.optimize.request import OptimizeRequest, open_request
from edgedeploy.optimize.search.files import write_search
from edgedeploy.optimize.search.search import search
from edgedeploy.optimize.search.settings import SearchSettings
from edgedeploy.values.contract import Allowance
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.evidence import Evidence, LayerNoise, PassEvidence
from edgedeploy.values.head import Head
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target

_TOOLS: dict[ModelFormat, tuple[str, ...]] = {
    "onnx": ("edgedeploy", "onnx", "onnx_ir", "onnxruntime", "numpy"),
    "tflite": ("edgedeploy", "ai_edge_quantizer", "ai_edge_litert", "numpy"),
}


def optimize(
    model: Path,
    recipe: Recipe,
    output: Path,
    *,
    calibration: DatasetSpec | None = None,
    evaluation: DatasetSpec | None = None,
    metric: str | None = None,
    head: Head | None = None,
    max_drop: float | str = 0.01,
    target: Target | None = None,
    speed: SpeedJudge | None = None,
    speed_unjudged: str = "",
    board: Board | None = None,
    allowed: Collection[Allowance] = (),
    search_settings: SearchSettings | None = None,
    progress: Progress = SILENT,
) -> Evidence:
    """Apply `recipe` to `model`; write `output`, and `output` + `.evidence.json`, only if the guard accepts the result.

    Args:
        model: an ONNX file, or a TensorFlow Lite file.
        recipe: from `load_recipe`. One that is a search also leaves its trials beside `output`, accepted or not.
        output: the file to write. What it was stays as it was when the result is not accepted.
        calibration: dataset whose values give quantizers their ranges; labels in it are not used.
        evaluation: dataset that the result is judged on. Without labels only agreement is judged; without the dataset,
            agreement on the calibration data or on generated inputs.
        metric: one of `metric_names()`, or `"package.module:name"`; None takes the usual one of the task, where there
            are labels. One for classifiers that is named says too that the model classifies: its answers are compared
            although there are no labels.
        head: what turns the model's outputs into answers, for metrics that need it.
        max_drop: how much worse the metric may get: in its own units (0.01 is one point of accuracy), or as a text like
            `"2%"` of the float model's.
        target: the kind of board that the result is for; chooses the type of quantized activations.
        speed: compares the result's speed with the model's, e.g. that of `judges`; None leaves that unjudged.
        speed_unjudged: why it is left unjudged, for the evidence.
        board: runs the result too, so that accuracy is judged there as well; None for none.
        allowed: violations that are not to stop the result.
        search_settings: of a recipe that is a search; None takes the defaults.
        progress: hears what is going on.

    Returns:
        The evidence; `accepted` says whether the files were written, `reasons` why not.

    Raises:
        InvalidFileError: `model` or a dataset is missing or malformed.
        DatasetError: a dataset does not fit the model, or the recipe needs calibration data and there is none.
        UnsupportedError: the model cannot be taken (over 2 GB, its runtime does not load it), or a setting makes no
            sense.
        UnknownNameError: there is no such metric.
        HostError: `output` cannot be written, or a TensorFlow Lite model came and the extra `tflite` is not installed.
    """
    request = open_request(
        model,
        recipe,
        output,
        calibration=calibration,
        evaluation=evaluation,
        metric=metric,
        head=head,
        max_drop=max_drop,
        target=target,
        speed=speed,
        speed_unjudged=speed_unjudged,
        board=board,
        allowed=allowed,
        search=search_settings,
        progress=progress,
    )
    return run_request(request)


def run_request(request: OptimizeRequest) -> Evidence:
    """Apply the request's recipe, let the guard judge the result, and write it if it is accepted.

    Returns, raises: as `optimize`.
    """
    if request.recipe.is_search:
        outcome = search(request)
        if outcome.search is not None:
            write_search(request.output, outcome.search)
    else:
        outcome = _apply_recipe(request)
    evidence = _evidence(request, outcome)
    if evidence.accepted:
        _write(request.output, outcome.content, evidence)
    return evidence


def evidence_path(model: Path) -> Path:
    """Return where the evidence of an optimized model lies: beside it."""
    return model.with_name(f"{model.name}.evidence.json")


def _apply_recipe(request: OptimizeRequest) -> OptimizeOutcome:
    """Apply a recipe that is no search."""
    context = request.context()
    content, passes = _run_passes(request, context)
    guard_result = judge(content, request.guard_request())
    if (words := _failing_node(request, context, content, guard_result)) != "":
        guard_result = structs.replace(guard_result, notes=(words, *guard_result.notes))
    layers = _layers(request, context, content) if guard_result.loads else ()
    return OptimizeOutcome(content=content, passes=passes, guard_result=guard_result, layers=layers)


def _failing_node(request: OptimizeRequest, context: Context, content: bytes, guard_result: GuardResult) -> str:
    """Return which node the result fails at, in words, where something was quantized and it does not run."""
    fails = {ViolationKind.DOES_NOT_LOAD, ViolationKind.DOES_NOT_RUN}
    if request.source.format != "onnx" or context.reference is None or not request.data.probes:
        return ""
    if not fails.intersection(violation.kind for violation in guard_result.violations):
        return ""
    return failing_node_in_words(context.before_renaming or content, request.data.probes[0])


def _run_passes(request: OptimizeRequest, context: Context) -> tuple[bytes, tuple[PassEvidence, ...]]:
    source, passes = request.source, request.recipe.passes
    if source.format == "tflite":
        from edgedeploy.optimize.tflite.pipeline import run_passes as run_tflite_passes

        content, evidence = run_tflite_passes(source.content, passes, context)
        return (content if content == source.content else source.named(content)), evidence
    graph = source.graph()
    unchanged = serialized(graph)
    changed, evidence = run_passes(graph, passes, context)
    content = serialized(changed)
    # What one pass adds, another may take away again.
    return (source.as_it_came() if content == unchanged else source.named(content)), evidence


def _layers(request: OptimizeRequest, context: Context, content: bytes) -> tuple[LayerNoise, ...]:
    """Return where noise comes in; nothing where nothing was quantized, or there is nothing to run it on."""
    data = request.data.for_judging()
    if request.source.format != "onnx" or context.reference is None or data is None:
        return ()
    request.progress.step("looking where noise comes in")
    return layer_noise(context.reference, context.before_renaming or content, data.samples())


def _evidence(request: OptimizeRequest, outcome: OptimizeOutcome) -> Evidence:
    source, guard_result = request.source, outcome.guard_result
    refusals = [*_unmet(request.recipe, outcome.passes), *guard_result.refusals]
    calibrated = max((int(done.facts.get("calibration_samples", 0)) for done in outcome.passes), default=0)
    notes = [
        *source.facts.notes,
        *request.data.notes(calibrated=bool(calibrated)),
        *reach_notes(outcome.passes),
        *guard_result.notes,
    ]
    if outcome.content == source.as_it_came() and not refusals:
        notes.append("there was nothing to do: the result is the model as it came")
    return Evidence(
        recipe=request.recipe.name,
        target=request.target.name if request.target else None,
        source=source.facts,
        model_name=source.name,
        result=_result_facts(request, outcome.content) if guard_result.loads else None,
        passes=outcome.passes,
        calibration_samples=calibrated,
        evaluation_sha256=request.data.evaluation_sha256,
        source_metric=guard_result.source_metric,
        metric_trust=guard_result.metric_trust,
        max_drop=request.drop.amount,
        max_drop_relative=request.drop.relative,
        executions=guard_result.executions,
        speed=guard_result.speed,
        speed_unjudged="" if guard_result.speed else _why_unjudged(request),
        layers=outcome.layers,
        search=outcome.search,
        accepted=not refusals,
        # Why it was refused comes first.
        reasons=(*refusals, *notes),
        tools={tool: importlib.metadata.version(tool.replace("_", "-")) for tool in _TOOLS[source.format]},
    )


def _why_unjudged(request: OptimizeRequest) -> str:
    if request.speed is not None:
        return "the result does not run where its speed is judged"
    return request.speed_unjudged or "nobody was asked to"


def _unmet(recipe: Recipe, passes: tuple[PassEvidence, ...]) -> list[str]:
    """Return which passes that the recipe is for left the model as it was. A search judges that for each trial."""
    if recipe.is_search:
        return []
    return [
        f"{done.name}, which the recipe is for, did nothing: {done.refused or 'it found nothing to change'}"
        for step, done in zip(recipe.passes, passes, strict=True)
        if step.essential and not done.changed
    ]


def _result_facts(request: OptimizeRequest, content: bytes) -> ModelFacts | None:
    """Return the facts of the result; None when they cannot be read."""
    with scratch_folder() as folder:
        path = Path(folder) / request.output.name
        path.write_bytes(content)
        try:
            # An input that was bound to a constant has gone.
            kept = {value.name for value in inspect_model(path).inputs}
            return inspect_model(path, {name: shape for name, shape in request.data.shapes.items() if name in kept})
        except EdgedeployError:
            return None


def _write(output: Path, content: bytes, evidence: Evidence) -> None:
    text = msgspec.json.format(msgspec.json.encode(evidence), indent=2) + b"\n"
    # Both are written before either takes its place, so that a full disk leaves neither.
    with replacing_file(output) as model_file, replacing_file(evidence_path(output)) as evidence_file:
        model_file.write_bytes(content)
        evidence_file.write_bytes(text)
