"""What `optimize` is asked, with all names resolved and all files opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import Metric
from edgedeploy.metrics.registry import check_metric, chosen_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx
from edgedeploy.model.recorded_name import model_name
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.evaluation import Evaluation
from edgedeploy.optimize.guard.request import GuardRequest
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.optimize.recipes.recipe import Recipe
from edgedeploy.optimize.search.settings import SearchSettings
from edgedeploy.optimize.source_model import Datasets, SourceModel, open_datasets
from edgedeploy.values.contract import Allowance
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.drop import Drop, drop_of
from edgedeploy.values.head import Head
from edgedeploy.values.metric_facts import reads_scores
from edgedeploy.values.target import Target


class OptimizeRequest(Struct, frozen=True, kw_only=True):
    """A recipe for a model, and all that decides whether its result is accepted."""

    source: SourceModel
    recipe: Recipe
    output: Path
    """The file to write."""
    data: Datasets
    metric: Metric | None
    """None when the evaluation data has no labels."""
    drop: Drop
    """How much worse the metric may get."""
    classifies: bool = False
    """Whether a built-in metric was named: the model classifies, labels or not."""
    decoder: Decoder | None = None
    """The model's head, where one is declared."""
    target: Target | None = None
    """The kind of board that the result is for; None for any."""
    speed: SpeedJudge | None = None
    """Compares the result's speed with the source's; None leaves that unjudged."""
    speed_unjudged: str = ""
    """Why nobody judges speed."""
    board: Board | None = None
    """Runs the result too; None for none."""
    allowed: frozenset[Allowance] = frozenset()
    """Violations that are not to stop the result."""
    search: SearchSettings = SearchSettings()
    """Of a recipe that is a search."""
    progress: Progress = SILENT

    def context(self, progress: Progress | None = None) -> Context:
        """Return what passes may use, with nothing remembered yet.

        Args:
            progress: hears of the passes; None takes the request's.
        """
        return Context(
            target=self.target,
            calibration=self.data.calibration,
            probes=self.data.probes,
            progress=progress or self.progress,
        )

    def evaluation(self, tolerance: float | None = None) -> Evaluation | None:
        """Return how results are compared with the source, on the best data there is; None when there is none.

        Args:
            tolerance: of a recipe that promises to keep results; None when it does not.
        """
        data = self.data.for_judging()
        if data is None:
            return None
        return Evaluation(
            data=data,
            metric=self.metric,
            drop=self.drop,
            classifies=self.classifies,
            decoder=self.decoder,
            tolerance=tolerance,
            progress=self.progress,
        )

    def guard_request(self) -> GuardRequest:
        """Return what the guard holds this request's results against."""
        return GuardRequest(
            source=self.source.content,
            source_size_bytes=self.source.facts.size_bytes,
            # The trials of a search may change results, whatever its preparation promises.
            evaluation=self.evaluation(None if self.recipe.is_search else self.recipe.tolerance),
            speed=self.speed,
            speed_unjudged=self.speed_unjudged,
            board=self.board,
            allowed=self.allowed,
        )


def open_request(
    model: Path,
    recipe: Recipe,
    output: Path,
    *,
    calibration: DatasetSpec | None,
    evaluation: DatasetSpec | None,
    metric: str | None,
    head: Head | None = None,
    max_drop: float | str,
    target: Target | None,
    speed: SpeedJudge | None,
    speed_unjudged: str = "",
    board: Board | None,
    allowed: Collection[Allowance],
    search: SearchSettings | None,
    progress: Progress,
) -> OptimizeRequest:
    """Check and open all that `optimize` takes; see there for arguments and errors."""
    # The file before the data for it: whoever gives a checkpoint must not make calibration samples first.
    facts = inspect_model(model)
    drop = drop_of(max_drop)
    _check_settings(model, recipe, output, calibration)
    output_names = [each.name for each in facts.outputs]
    if metric is not None:
        check_metric(metric)
    content = read_file(model, MODEL) if facts.format == "tflite" else load_onnx(model).SerializeToString()
    data = open_datasets(calibration, evaluation, facts, content)
    declared = head or (data.evaluation.head if data.evaluation is not None else None)
    return OptimizeRequest(
        source=SourceModel(
            path=model, facts=inspect_model(model, data.shapes), name=model_name(model), content=content
        ),
        recipe=recipe,
        output=output,
        data=data,
        metric=_judging(metric, head, data, output_names),
        drop=drop,
        classifies=reads_scores(metric),
        decoder=find_head(declared, output_names) if declared else None,
        target=target,
        speed=speed,
        speed_unjudged=speed_unjudged,
        board=board,
        allowed=frozenset(allowed),
        search=search or SearchSettings(),
        progress=progress,
    )


def _judging(name: str | None, head: Head | None, data: Datasets, outputs: Sequence[str]) -> Metric | None:
    """Return the metric that results are judged by; None where there are no labels."""
    if data.evaluation is None or not data.has_labels:
        return None
    return chosen_metric(name, head, data.evaluation, outputs)


def _check_settings(model: Path, recipe: Recipe, output: Path, calibration: DatasetSpec | None) -> None:
    if output.exists() and model.exists() and output.samefile(model):
        raise UnsupportedError(
            f"the output {output} is the model itself",
            why="the float model is what every later figure is held against",
            hint="name another file with -o",
        )
    if recipe.needs_calibration and calibration is None:
        raise DatasetError(
            f"recipe {recipe.name!r} needs calibration data",
            why=_calibration_use(recipe),
            hint="add --calibration FILE.npz with some dozens of typical inputs",
        )


def _calibration_use(recipe: Recipe) -> str:
    """Return what a recipe needs calibration data for."""
    passes = [step for step in recipe.passes if step.needs_calibration]
    if recipe.is_search or any(step.quantizes for step in passes) or not passes:
        return "quantized activations get their ranges from sample inputs"
    names = " and ".join(dict.fromkeys(step.title() for step in passes))
    return f"{names} measures on sample inputs what matters least to the outputs"
