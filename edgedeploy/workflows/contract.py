"""Contracts before anything is shipped: writing one for a model, and whether one is whole.

A mistake in a hand-over is cheap to mend on the day that it is made, by those who made it.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset, open_dataset
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.inference.session import arithmetic_note, open_session
from edgedeploy.metrics.metric import Metric
from edgedeploy.metrics.registry import chosen_metric, find_metric
from edgedeploy.model.identity import sha256_of_model
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import is_tflite
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.targets.load import load_target
from edgedeploy.values.contract import Contract, Outcome, Verdict, VerdictLine
from edgedeploy.values.data import DatasetSpec, dataset_name
from edgedeploy.values.head import Head
from edgedeploy.values.metric_facts import is_share_metric, metric_facts, reads_scores
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.quality import MetricFigure
from edgedeploy.verdict.contract import dataset_spec, has_expired, load_contract, named_code
from edgedeploy.workflows.contract_text import completed, data_lines, relative_path, toml_pairs

_DROP = 0.01
"""What a proposed contract lets the device lose: the budget that `optimize --max-drop` has in the documentation."""
_HASH_DIGITS = 12
_OF_THE_METRIC = ("data.metric", "data.head.kind", "data.evaluation.head.kind")
"""Keys of a contract that may name code which is imported to find its metric."""

Value = TypeVar("Value")


class Proposal(Struct, frozen=True, kw_only=True):
    """What is to be said in a new contract."""

    model: Path
    evaluation: DatasetSpec
    """As `open_dataset` takes it, with labels."""
    calibration: DatasetSpec | None = None
    preprocessing: dict[str, Any] = {}
    """Of both, where their own tables do not say otherwise."""
    head: Head | None = None
    """What turns the model's outputs into answers, for metrics that need it."""
    metric: str | None = None
    """None takes the usual one of the data's task."""
    name: str
    version: str
    framework: str
    owner: str | None = None
    expires: datetime.date | None = None
    recipe: str | None = None
    """By default one that needs no calibration where there is none."""
    targets: tuple[str, ...] = ()


def new_contract(proposal: Proposal, path: Path, *, progress: Progress = SILENT) -> Contract:
    """Write a contract that the model keeps as it is, with limits to be looked at by those who know what is needed.

    The model is run over the labelled data on this machine in exact arithmetic: what it reaches there is in the file,
    and a hundredth less is the proposed floor.

    Args:
        path: of the contract. Model and data have to lie in its folder or below.

    Returns:
        The contract as it was read back.

    Raises:
        InvalidFileError: a file is missing, is not what it should be, or lies elsewhere; or `path` exists.
        DatasetError: the data does not fit the model, or has no labels.
        UnknownNameError: there is no such metric, recipe or target.
        HostError: the contract cannot be written.
    """
    if path.exists():
        raise InvalidFileError(f"{path} exists", hint="remove it, or name another with -o")
    facts = inspect_model(proposal.model)
    dataset = open_dataset(completed(proposal.evaluation, proposal.preprocessing, proposal.head), facts.inputs)
    if not dataset.has_labels:
        raise DatasetError(
            f"{dataset.spec} has no labels",
            why="a contract promises how good a model is",
            hint="add an array `labels`, with a label for each sample",
        )
    recipe = proposal.recipe or ("int8" if proposal.calibration else "weights-int8")
    load_recipe(recipe)
    for target in proposal.targets:
        load_target(target)
    if proposal.calibration:
        open_dataset(completed(proposal.calibration, proposal.preprocessing, None), facts.inputs)
    figure = _metric(proposal, dataset, progress)
    text = _text(proposal, path.parent, facts, dataset, figure, recipe)
    # Read where nobody else looks: a file that edgedeploy itself refuses is not to be left behind.
    with scratch_folder() as folder:
        draft = Path(folder, path.name)
        draft.write_text(text, encoding="utf-8")
        try:
            load_contract(draft)
        except InvalidFileError as error:
            what = error.what.replace(f"{draft}:", f"{path} would have, in line ")
            raise InvalidFileError(what, why=error.why, hint=error.hint) from error
    write_bytes(path, text.encode())
    return load_contract(path)


def check_hand_over(contract: Contract, today: datetime.date | None = None, *, allow_code: bool = False) -> Verdict:
    """Check that all that a contract names is there and is what it says: a line for each.

    Args:
        today: by default the day in UTC.
        allow_code: import and run a metric or dataset that the contract names as `package.module:callable`; without,
            its line is not determined.
    """
    code = {} if allow_code else named_code(contract)
    lines = tuple(_hand_over_lines(contract, today or datetime.datetime.now(datetime.UTC).date(), code))
    outcomes = {line.outcome for line in lines}
    return Verdict(
        kind="hand-over",
        contract=f"{contract.model.name} {contract.model.version}",
        lines=lines,
        owner=contract.model.owner,
        outcome=next((each for each in (Outcome.BREAKS, Outcome.NOT_DETERMINED) if each in outcomes), Outcome.HOLDS),
    )


def _hand_over_lines(contract: Contract, today: datetime.date, code: Mapping[str, str]) -> Iterator[VerdictLine]:
    model, data, optimization = contract.model, contract.data, contract.optimization
    path = contract.folder / model.file
    found, reason = _tried(lambda: sha256_of_model(path))
    yield _line("model.sha256", model.sha256[:_HASH_DIGITS], _short(found), reason or model.file)
    facts, reason = _tried(lambda: inspect_model(path))
    if model.parameters is not None:
        parameters = None if facts is None else facts.parameters
        yield _line("model.parameters", model.parameters, parameters, reason or "counted in the file")
    if model.expires is not None:
        holds = not has_expired(contract, today)
        yield _judged("model.expires", str(model.expires), str(today), holds, "today" if holds else "ask for a new one")
    if facts is not None:
        yield from _data_lines(contract, facts, code)
    if not code.keys().isdisjoint(_OF_THE_METRIC):
        yield _not_run("data.metric", data.metric)
    else:
        _, reason = _tried(lambda: _metric_of(contract, facts))
        yield _judged("data.metric", data.metric, None if reason else data.metric, not reason, reason or "known")
    recipe, reason = _tried(lambda: load_recipe(optimization.recipe))
    if recipe is not None and recipe.needs_calibration and data.calibration is None:
        reason = "it needs data.calibration, and the contract names none"
    what = optimization.recipe
    yield _judged("optimization.recipe", what, None if reason else what, not reason, reason or "known")
    for name in contract.limits.target:
        _, reason = _tried(lambda name=name: load_target(name))  # type: ignore[misc]
        yield _judged(f"limits.target.{name}", name, None if reason else name, not reason, reason or "known")


def _metric_of(contract: Contract, facts: ModelFacts | None) -> Metric | None:
    """Return the contract's metric with its head: its own, or that of its data; None where that data cannot be read."""
    data, outputs = contract.data, [each.name for each in facts.outputs] if facts is not None else []
    if data.head is not None or facts is None or metric_facts(data.metric) is None:
        return find_metric(data.metric, data.head, outputs)
    dataset, _ = _tried(lambda: open_dataset(dataset_spec(contract, data.evaluation), facts.inputs))
    # Data that is missing has a line of its own.
    return None if dataset is None else chosen_metric(data.metric, None, dataset, outputs)


def _data_lines(contract: Contract, facts: ModelFacts, code: Mapping[str, str]) -> Iterator[VerdictLine]:
    if "data.evaluation" in code:
        yield _not_run("data.evaluation", "fits, labelled")
    else:
        yield from _evaluation_lines(contract, facts)
    if "data.calibration" in code:
        yield _not_run("data.calibration", "fits")
    elif contract.data.calibration is not None:
        spec = contract.data.calibration
        calibration, reason = _tried(lambda: open_dataset(dataset_spec(contract, spec), facts.inputs))
        yield _judged("data.calibration", "fits", _samples(calibration), not reason, reason or dataset_name(spec))


def _not_run(key: str, wanted: str) -> VerdictLine:
    return VerdictLine(
        key=key,
        limit=wanted,
        figure=None,
        unit="",
        outcome=Outcome.NOT_DETERMINED,
        reason="it is Python code, which is not run: read it, then add --allow-code",
    )


def _evaluation_lines(contract: Contract, facts: ModelFacts) -> Iterator[VerdictLine]:
    data = contract.data
    evaluation, reason = _tried(lambda: open_dataset(dataset_spec(contract, data.evaluation), facts.inputs))
    if evaluation is not None and not evaluation.has_labels:
        reason = "it has no labels, so that nothing can be promised of the model"
    yield _judged(
        "data.evaluation", "fits, labelled", _samples(evaluation), not reason, reason or dataset_name(data.evaluation)
    )
    if data.evaluation_sha256 is not None:
        found, reason = (None, reason) if evaluation is None else _tried(lambda: evaluation.sha256)
        wanted = data.evaluation_sha256[:_HASH_DIGITS]
        yield _line("data.evaluation_sha256", wanted, _short(found), reason or dataset_name(data.evaluation))


def _tried(do: Callable[[], Value]) -> tuple[Value | None, str]:
    try:
        return do(), ""
    except EdgedeployError as error:
        return None, error.what + (f": {error.why}" if error.why else "")


def _short(sha256: str | None) -> str | None:
    return None if sha256 is None else sha256[:_HASH_DIGITS]


def _samples(dataset: Dataset | None) -> str | None:
    if dataset is None:
        return None
    return "there" if dataset.count is None else f"{dataset.count:,} feeds"


def _line(key: str, wanted: str | int, found: str | int | None, reason: str) -> VerdictLine:
    return _judged(key, wanted, found, found == wanted, reason)


def _judged(key: str, wanted: str | int, found: str | int | None, holds: bool, reason: str) -> VerdictLine:
    outcome = Outcome.HOLDS if holds else Outcome.BREAKS
    return VerdictLine(key=key, limit=wanted, figure=found, unit="", outcome=outcome, reason=reason)


def _metric(proposal: Proposal, dataset: Dataset, progress: Progress) -> MetricFigure:
    model, outputs = proposal.model, [each.name for each in inspect_model(proposal.model).outputs]
    score = chosen_metric(proposal.metric, proposal.head, dataset, outputs).start()
    session = (
        open_session(read_file(model, MODEL), "tflite", exact=True)
        if is_tflite(model)
        else HostSession(model, exact=True)
    )
    note = arithmetic_note(session)
    progress.step(f"running {model.name} over {dataset.spec}" + (f" ({note})" if note else ""))
    for done, sample in enumerate(dataset.samples(), start=1):
        score.add(session.run(sample.feed), sample.labels, sample.feed)
        progress.advance(done, dataset.count, "samples")
    return score.figure()


def _text(
    proposal: Proposal, folder: Path, facts: ModelFacts, dataset: Dataset, figure: MetricFigure, recipe: str
) -> str:
    share = is_share_metric(figure.name)
    # Rounded down, so that it is not more than was meant.
    margin = _DROP if share else _DROP * abs(figure.value)
    if figure.larger_is_better:
        floor = math.floor((figure.value - margin) * 10_000) / 10_000
        bound = f"metric_min = {max(floor, 0.0) if share else floor!r}"
    else:
        bound = f"metric_max = {math.ceil((figure.value + margin) * 10_000) / 10_000!r}"
    if share:
        drop = [f"metric_max_drop = {_DROP}"]
    else:
        drop = [f"metric_max_drop_relative = {_DROP}"] if metric_facts(figure.name) is not None else []
    lines = [
        "# What the people who trained the model hand over. Each limit is a proposal: set it to what is needed.",
        "schema = 1",
        "",
        "[model]",
        *toml_pairs(name=proposal.name, version=proposal.version, framework=proposal.framework),
        *toml_pairs(owner=proposal.owner, expires=proposal.expires),
        *toml_pairs(file=relative_path(proposal.model, folder), sha256=sha256_of_model(proposal.model)),
        *toml_pairs(parameters=facts.parameters or None),
        "",
        "[data]",
        *data_lines(proposal, folder, dataset.sha256, figure.name),
        "",
        "[optimization]",
        *toml_pairs(recipe=recipe),
        "",
        "[limits]",
        f"# The model as it is has {figure.value:.6g} over {figure.samples:,} samples,",
        f"# in exact arithmetic on a machine of {os.uname().machine}.",
        bound,
        *drop,
    ]
    if reads_scores(figure.name):
        lines.append("agreement_top1_min = 0.99")
    for target in proposal.targets:
        lines += ["", f"[limits.target.{target}]", *_TARGET_HINTS]
    return "\n".join(lines) + "\n"


_TARGET_HINTS = (
    "# peak_memory_max_bytes = 150_000_000   # the runner's whole process",
    "# latency_p90_max_ms = 50.0             # on a real board",
    "# load_max_ms = 1000.0                  # on a real board",
    "# instructions_max = 25_000_000         # on an emulated board that counts them: work, not time",
)
