"""A recipe on a model, the guard on the result, and the evidence of both."""

from __future__ import annotations

import importlib.metadata
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.dataset import Sample, open_dataset
from edgedeploy.errors import DatasetError, EdgedeployError, UnsupportedError
from edgedeploy.files import replacing_file
from edgedeploy.host_run import HostSession
from edgedeploy.metrics import find_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx
from edgedeploy.optimize.contract import Context, first_line
from edgedeploy.optimize.generated import generated_samples
from edgedeploy.optimize.graph import serialized
from edgedeploy.optimize.guard import Data, Judgement, is_sane_drop, judge
from edgedeploy.optimize.pipeline import run_passes
from edgedeploy.optimize.recipe import Recipe
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.evidence import Evidence, PassEvidence
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target

_PROBES = 2
_TOOLS = ("edgedeploy", "onnx", "onnx_ir", "onnxruntime", "numpy")


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
    progress: Progress = SILENT,
) -> Evidence:
    """Apply `recipe` to `model`; write `output`, and `output` + `.evidence.json`, only if the guard accepts the result.

    Args:
        model: an ONNX file.
        recipe: from `load_recipe`.
        output: the file to write. What it was stays as it was when the result is not accepted.
        calibration: dataset whose values give quantizers their ranges; labels in it are not used.
        evaluation: dataset that the result is judged on. Without labels only agreement is judged; without the dataset,
            agreement on the calibration data or on generated inputs.
        metric: `"top1"`, `"top5"` or `"package.module:function"`.
        max_drop: how much the metric may fall, in its own units (0.01 is one point of accuracy).
        target: the kind of board that the result is for; chooses the type of quantized activations.
        progress: hears what is going on.

    Returns:
        The evidence; `accepted` says whether the files were written, `reasons` why not.

    Raises:
        InvalidFileError: `model` or a dataset is missing or malformed.
        DatasetError: a dataset does not fit the model, or the recipe needs calibration data and there is none.
        UnsupportedError: the model cannot be taken (not ONNX, over 2 GB), or a setting makes no sense.
        UnknownNameError: there is no such metric.
        HostError: `output` cannot be written.
    """
    if not is_sane_drop(max_drop):
        raise UnsupportedError(f"max_drop is {max_drop}; a number of at least 0 is expected")
    _refuse_to_overwrite(model, output)
    source = inspect_model(model)
    if source.format != "onnx":
        raise UnsupportedError(f"{model} is a {source.format} model", why="recipes work on ONNX models")
    if recipe.needs_calibration and calibration is None:
        raise DatasetError(
            f"recipe {recipe.name!r} needs calibration data",
            why="quantized activations get their ranges from sample inputs",
            mend="add --calibration FILE.npz with some dozens of typical inputs",
        )
    judged_metric = find_metric(metric)
    proto = load_onnx(model)
    # Taken before the passes: onnx_ir's weights are views of the proto, and renaming one renames it there.
    source_bytes = proto.SerializeToString()
    data = _Datasets(calibration, evaluation, source, source_bytes)
    # Where the file leaves extents open, work is counted at those of the data.
    shapes = {name: array.shape for name, array in data.probes[0].items()} if data.probes else {}
    source = inspect_model(model, shapes)
    context = Context(target=target, calibration=data.calibration, probes=data.probes, progress=progress)
    graph = _taken_apart(proto, model)
    unchanged_bytes = serialized(graph)
    changed, passes = run_passes(graph, recipe.passes, context)
    result_bytes = serialized(changed)
    # What one pass adds, another may take away again.
    any_change = result_bytes != unchanged_bytes
    if not any_change:
        result_bytes = _as_it_came(model, source, source_bytes)
    judgement = judge(
        source_bytes,
        result_bytes,
        source_size_bytes=source.size_bytes,
        data=data.for_judging(),
        metric=judged_metric if data.has_labels else None,
        max_drop=max_drop,
        tolerance=recipe.tolerance,
        progress=progress,
    )
    refusals = [*_unmet(recipe, passes), *judgement.refusals]
    notes = [*data.notes(), *judgement.notes]
    if not any_change and not refusals:
        notes.append("there was nothing to do: the result is the model as it came")
    evidence = Evidence(
        recipe=recipe.name,
        target=target.name if target else None,
        source=source,
        result=_result_facts(result_bytes, output.name, shapes, judgement),
        passes=passes,
        calibration_samples=max((int(step.facts.get("calibration_samples", 0)) for step in passes), default=0),
        evaluation_sha256=data.evaluation.sha256 if data.evaluation else None,
        source_metric=judgement.source_metric,
        max_drop=max_drop,
        executions=judgement.executions,
        accepted=not refusals,
        # Why it was refused comes first.
        reasons=(*refusals, *notes),
        tools={tool: importlib.metadata.version(tool.replace("_", "-")) for tool in _TOOLS},
    )
    if evidence.accepted:
        _write(output, result_bytes, evidence)
    return evidence


def evidence_path(model: Path) -> Path:
    """Where the evidence of an optimized model lies: beside it."""
    return model.with_name(f"{model.name}.evidence.json")


class _Datasets:
    """What there is to run models on, opened and checked before any work is done."""

    def __init__(self, calibration: str | None, evaluation: str | None, facts: ModelFacts, source: bytes) -> None:
        self.calibration = open_dataset(calibration, facts.inputs) if calibration is not None else None
        self.evaluation = open_dataset(evaluation, facts.inputs) if evaluation is not None else None
        self.has_labels = self.evaluation is not None and self.evaluation.has_labels
        self._generated: tuple[Sample, ...] = ()
        # A model that does not load, or data that it does not run on, are known before minutes of work.
        session = HostSession(source, exact=True)
        dataset = self.evaluation or self.calibration
        if dataset is None:
            self._generated = generated_samples(facts.inputs, lambda feed: _runs(session, feed))
        chosen = itertools.islice(dataset.samples(), _PROBES) if dataset else self._generated[:_PROBES]
        self.probes = tuple(sample.feed for sample in chosen)
        """A few feeds that passes are checked on."""
        for probe in self.probes:
            session.run(probe)

    def for_judging(self) -> Data | None:
        """The best there is: evaluation data, else calibration data, else generated inputs."""
        if self.evaluation is not None:
            return Data(name="the evaluation data", dataset=self.evaluation)
        if self.calibration is not None:
            return Data(name="the calibration data", dataset=self.calibration)
        if self._generated:
            return Data(name="generated inputs", dataset=None, generated=self._generated)
        return None

    def notes(self) -> list[str]:
        """What speaks against trusting the figures."""
        if self.calibration and self.evaluation and self.calibration.sha256 == self.evaluation.sha256:
            return [
                "calibration and evaluation data are the same: the result was judged on what it was made with, and may "
                "do worse on other data"
            ]
        return []


def _runs(session: HostSession, feed: dict[str, np.ndarray]) -> bool:
    try:
        session.run(feed)
    except EdgedeployError:
        return False
    return True


def _refuse_to_overwrite(model: Path, output: Path) -> None:
    if output.exists() and model.exists() and output.samefile(model):
        raise UnsupportedError(
            f"the output {output} is the model itself",
            why="the float model is what every later figure is held against",
            mend="name another file with -o",
        )


def _taken_apart(proto: onnx.ModelProto, model: Path) -> ir.Model:
    try:
        return ir.from_proto(proto)
    except Exception as error:
        # onnx_ir wraps whatever it stumbles over in classes of its own and of the standard library.
        raise UnsupportedError(f"{model} cannot be taken apart", why=first_line(error)) from error


def _as_it_came(model: Path, source: ModelFacts, embedded: bytes) -> bytes:
    """The model byte for byte, where that is one file; with external data, the one file that it becomes."""
    content = model.read_bytes()
    return content if len(content) == source.size_bytes else embedded


def _unmet(recipe: Recipe, passes: tuple[PassEvidence, ...]) -> list[str]:
    """The passes that the recipe is for, and that left the model as it was."""
    return [
        f"{done.name}, which the recipe is for, did nothing: {done.refused or 'it found nothing to change'}"
        for step, done in zip(recipe.passes, passes, strict=True)
        if step.essential and not done.changed
    ]


def _result_facts(
    content: bytes, name: str, shapes: Mapping[str, tuple[int, ...]], judgement: Judgement
) -> ModelFacts | None:
    """Facts of the result; None when it does not load."""
    with tempfile.TemporaryDirectory(prefix="edgedeploy-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return inspect_model(path, shapes) if judgement.loads else None
        except EdgedeployError:
            return None


def _write(output: Path, content: bytes, evidence: Evidence) -> None:
    text = msgspec.json.format(msgspec.json.encode(evidence), indent=2) + b"\n"
    # Both are written before either takes its place, so that a full disk leaves neither.
    with replacing_file(output) as model_file, replacing_file(evidence_path(output)) as evidence_file:
        model_file.write_bytes(content)
        evidence_file.write_bytes(text)
