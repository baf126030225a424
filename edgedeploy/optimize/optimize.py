"""A recipe on a model, the guard on the result, and the evidence of both."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from edgedeploy.foundation.errors import DatasetError, EdgedeployError, UnsupportedError
from edgedeploy.foundation.files import replacing_file
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.guard import GuardResult, is_sane_drop
from edgedeploy.optimize.guard.layer_noise import layer_noise
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.recipe import Recipe
from edgedeploy.optimize.search.files import write_search
from edgedeploy.optimize.search.search import SearchSettings, search
from edgedeploy.optimize.source_model import SourceModel
from edgedeploy.values.contract import Allowance
from edgedeploy.values.evidence import Evidence, LayerNoise, PassEvidence
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.search import Search
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
    calibration: str | None = None,
    evaluation: str | None = None,
    metric: str = "top1",
    max_drop: float = 0.01,
    target: Target | None = None,
    speed: SpeedJudge | None = None,
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
        metric: `"top1"`, `"top5"` or `"package.module:function"`.
        max_drop: how much the metric may fall, in its own units (0.01 is one point of accuracy).
        target: the kind of board that the result is for; chooses the type of quantized activations.
        speed: compares the result's speed with the model's; None leaves that unjudged.
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
    if not is_sane_drop(max_drop):
        raise UnsupportedError(f"max_drop is {max_drop}; a number of at least 0 is expected")
    _refuse_to_overwrite(model, output)
    if recipe.needs_calibration and calibration is None:
        raise DatasetError(
            f"recipe {recipe.name!r} needs calibration data",
            why="quantized activations get their ranges from sample inputs",
            hint="add --calibration FILE.npz with some dozens of typical inputs",
        )
    source_model = SourceModel(
        model, calibration=calibration, evaluation=evaluation, metric=metric, target=target, progress=progress
    )
    searched: Search | None = None
    layers: tuple[LayerNoise, ...] = ()
    if recipe.is_search:
        found = search(
            source_model,
            recipe,
            search_settings or SearchSettings(),
            output,
            max_drop=max_drop,
            speed=speed,
            board=board,
            allowed=allowed,
        )
        content, passes, guard_result, searched = found.content, found.passes, found.guard_result, found.search
        write_search(output, searched)
    else:
        context = source_model.context()
        content, passes = _apply(source_model, recipe, context)
        guard_result = source_model.judge(
            content, max_drop=max_drop, tolerance=recipe.tolerance, speed=speed, board=board, allowed=allowed
        )
        layers = _layers(source_model, context, content, guard_result)
    unmet = [] if recipe.is_search else _unmet(recipe, passes)
    refusals = [*unmet, *guard_result.refusals]
    notes = [*source_model.data.notes(), *guard_result.notes]
    if content == source_model.as_it_came() and not refusals:
        notes.append("there was nothing to do: the result is the model as it came")
    evidence = Evidence(
        recipe=recipe.name,
        target=target.name if target else None,
        source=source_model.facts,
        result=_result_facts(content, output.name, source_model.shapes, guard_result),
        passes=passes,
        calibration_samples=max((int(step.facts.get("calibration_samples", 0)) for step in passes), default=0),
        evaluation_sha256=source_model.data.evaluation.sha256 if source_model.data.evaluation else None,
        source_metric=guard_result.source_metric,
        max_drop=max_drop,
        executions=guard_result.executions,
        speed=guard_result.speed,
        layers=layers,
        search=searched,
        accepted=not refusals,
        # Why it was refused comes first.
        reasons=(*refusals, *notes),
        tools={tool: importlib.metadata.version(tool.replace("_", "-")) for tool in _TOOLS[source_model.format]},
    )
    if evidence.accepted:
        _write(output, content, evidence)
    return evidence


def evidence_path(model: Path) -> Path:
    """Where the evidence of an optimized model lies: beside it."""
    return model.with_name(f"{model.name}.evidence.json")


def _apply(source_model: SourceModel, recipe: Recipe, context: Context) -> tuple[bytes, tuple[PassEvidence, ...]]:
    if source_model.format == "tflite":
        from edgedeploy.optimize.tflite.pipeline import run_passes as run_tflite_passes

        return run_tflite_passes(source_model.content, recipe.passes, context)
    graph = source_model.graph()
    unchanged = serialized(graph)
    changed, passes = run_passes(graph, recipe.passes, context)
    content = serialized(changed)
    # What one pass adds, another may take away again.
    return (source_model.as_it_came() if content == unchanged else content), passes


def _layers(
    source_model: SourceModel, context: Context, content: bytes, guard_result: GuardResult
) -> tuple[LayerNoise, ...]:
    data = source_model.data.for_judging()
    if source_model.format != "onnx" or context.reference is None or not guard_result.loads or data is None:
        return ()
    source_model.progress.step("looking where noise comes in")
    samples = data.generated if data.dataset is None else data.dataset.samples()
    return layer_noise(context.reference, context.before_renaming or content, samples)


def _refuse_to_overwrite(model: Path, output: Path) -> None:
    if output.exists() and model.exists() and output.samefile(model):
        raise UnsupportedError(
            f"the output {output} is the model itself",
            why="the float model is what every later figure is held against",
            hint="name another file with -o",
        )


def _unmet(recipe: Recipe, passes: tuple[PassEvidence, ...]) -> list[str]:
    """The passes that the recipe is for, and that left the model as it was."""
    return [
        f"{done.name}, which the recipe is for, did nothing: {done.refused or 'it found nothing to change'}"
        for step, done in zip(recipe.passes, passes, strict=True)
        if step.essential and not done.changed
    ]


def _result_facts(
    content: bytes, name: str, shapes: Mapping[str, tuple[int, ...]], guard_result: GuardResult
) -> ModelFacts | None:
    """Facts of the result; None when it does not load."""
    with tempfile.TemporaryDirectory(prefix="edgedeploy-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            if not guard_result.loads:
                return None
            # An input that was bound to a constant has gone.
            kept = {value.name for value in inspect_model(path).inputs}
            return inspect_model(path, {name: shape for name, shape in shapes.items() if name in kept})
        except EdgedeployError:
            return None


def _write(output: Path, content: bytes, evidence: Evidence) -> None:
    text = msgspec.json.format(msgspec.json.encode(evidence), indent=2) + b"\n"
    # Both are written before either takes its place, so that a full disk leaves neither.
    with replacing_file(output) as model_file, replacing_file(evidence_path(output)) as evidence_file:
        model_file.write_bytes(content)
        evidence_file.write_bytes(text)
