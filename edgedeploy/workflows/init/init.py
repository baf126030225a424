"""Make a contract of a model and labeled data: what is not stated is tried, and what was guessed is said."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.metrics.heads.registry import head_names
from edgedeploy.metrics.registry import check_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.values.data import DatasetSpec, DataSource, Task
from edgedeploy.values.guess import Guess, InitiatedContract
from edgedeploy.values.head import Head
from edgedeploy.values.metric_facts import default_metric
from edgedeploy.workflows.contract import Proposal, new_contract
from edgedeploy.workflows.data_show.trial import model_classes, open_model
from edgedeploy.workflows.init.candidates import WayOfPreparing, heads_that_fit, with_swapped_colors
from edgedeploy.workflows.init.first_look import (
    calibration_for,
    declared_source,
    first_sample,
    is_of_numbers,
    keypoints_of,
    task_of,
    ways,
    with_format,
    with_part,
)
from edgedeploy.workflows.init.trials import Trials, Tried, in_words, is_chance

_SAMPLES, _FEW_SAMPLES = 32, 12
"""On which ways of preparing are compared; and pairs of a head and one of the two most usual ways."""
_USUAL_WAYS = 2
_HEADED: tuple[Task, ...] = ("detection", "instance-segmentation", "keypoints", "segmentation", "speech")
"""Tasks whose answers a head reads from the outputs."""
_STATED = "as stated"
_NO_BETTER_THAN_CHANCE = (
    "that is no better than chance: the model was trained with pictures that were prepared in another way, or with "
    "classes in another order; declare them in a data.toml"
)


class InitSettings(Struct, frozen=True, kw_only=True):
    """What somebody states instead of leaving it to be guessed; None and empty: it is guessed."""

    task: Task | None = None
    preset: str = ""
    metric: str | None = None
    head: Head | None = None
    calibration: DatasetSpec | None = None
    skip_broken: bool = False
    name: str
    version: str = "1.0"
    framework: str = "not stated"
    owner: str | None = None
    recipe: str | None = None
    targets: tuple[str, ...] = ()


def init_contract(
    model: Path, data: str, path: Path, settings: InitSettings, *, progress: Progress = SILENT
) -> InitiatedContract:
    """Write a contract for a model and labeled data, and say what was guessed for it and why.

    The format is told by the files; the task by the format, or by labels and output shapes. Head and preprocessing are
    tried: the model is run on some of the samples with each that fits, and the one is taken with which it answers best.

    Args:
        data: as `open_dataset` takes it, with labels.
        path: of the contract. Model and data have to lie in its folder or below.

    Raises:
        InvalidFileError, UnknownNameError, DatasetError, HostError: as `new_contract`.
        UnsupportedError: no head fits the outputs.
    """
    if path.exists():
        raise InvalidFileError(f"{path} exists", hint="remove it, or name another with -o")
    if settings.metric is not None:
        check_metric(settings.metric)
    facts = inspect_model(model)
    guesses: list[Guess] = []
    source = with_format(with_part(declared_source(data), guesses), guesses)
    source = structs.replace(
        source, skip_broken=source.skip_broken or settings.skip_broken, task=settings.task or source.task
    )
    progress.step(f"looking at {data}")
    sample, task = first_sample(source, ways(source, settings.preset, facts, settings.task), facts)
    if task is None:
        task, reason = task_of(sample, facts)
        guesses.append(Guess(key="task", value=task or "regression", reason=reason))
    else:
        guesses.append(Guess(key="task", value=task, reason=_STATED if settings.task else "the format says so"))
    metric = settings.metric or ("rmse" if task is None and is_of_numbers(sample) else default_metric(task))
    heads: Sequence[Head | None] = [settings.head or source.head]
    if heads[0] is None and task in _HEADED:
        heads = heads_that_fit(facts, task, keypoints_of(sample))
        if not heads:
            raise UnsupportedError(
                f"no head is known that fits the outputs of {model.name} for {task}",
                why=", ".join(f"{each.name} {each.shape}" for each in facts.outputs),
                hint=f"name it with --head: {', '.join(head_names())}, or a function as package.module:function",
            )
    trials = Trials(session=open_model(model), facts=facts, metric=metric)
    progress.step(f"trying {model.name} on samples of {data}")
    source = _with_best(source, task, heads, ways(source, settings.preset, facts, task), trials, guesses)
    reason = _STATED if settings.metric else "it is the usual one of the task" if task else "labels are numbers"
    guesses.append(Guess(key="metric", value=metric, reason=reason))
    proposal = Proposal(
        model=model,
        evaluation=structs.replace(source, preprocessing={}, head=None) if source.format else data,
        calibration=_without_preprocessing(settings.calibration or calibration_for(source, facts, guesses)),
        preprocessing=source.preprocessing,
        head=source.head,
        metric=metric,
        name=settings.name,
        version=settings.version,
        framework=settings.framework,
        owner=settings.owner,
        recipe=settings.recipe,
        targets=settings.targets,
    )
    contract = new_contract(proposal, path, progress=progress)
    return InitiatedContract(path=str(path), contract=contract, guesses=tuple(guesses))


def _with_best(
    source: DataSource,
    task: Task | None,
    heads: Sequence[Head | None],
    possible: Sequence[WayOfPreparing],
    trials: Trials,
    guesses: list[Guess],
) -> DataSource:
    """Return a source with the head and the preprocessing that the model answers best with."""
    head = heads[0]
    if len(heads) > 1:
        pairs = [(head_in_words(one), (one, way)) for way, one in itertools.product(possible[:_USUAL_WAYS], heads)]
        tried = trials.of(pairs, lambda pair: _put(source, *pair), _FEW_SAMPLES)
        head = tried[0].guess[0]
        guesses.append(_guess("head", head_in_words(head), trials.metric, _FEW_SAMPLES, _once_each(tried)))
    elif head is not None:
        guesses.append(Guess(key="head", value=head_in_words(head), reason="the only one that is stated or fits"))
    if len(possible) == 1:
        if possible[0].keys:
            guesses.append(Guess(key="preprocessing", value=possible[0].name, reason=_STATED))
        return _put(source, head, possible[0])
    ranked = trials.of([(way.name, way) for way in possible], lambda way: _put(source, head, way), _SAMPLES)
    swapped = with_swapped_colors(ranked[0].guess)
    if swapped is not None:
        ranked = [*ranked, *trials.of([(swapped.name, swapped)], lambda way: _put(source, head, way), _SAMPLES)]
        ranked = sorted(ranked, key=lambda one: -one.figure if math.isfinite(one.figure) else math.inf)
    found = _guess("preprocessing", ranked[0].name, trials.metric, _SAMPLES, ranked)
    if trials.metric == "top1" and is_chance(ranked[0].figure, _SAMPLES, model_classes(trials.facts, task, head)):
        found = structs.replace(found, reason=f"{found.reason}; {_NO_BETTER_THAN_CHANCE}")
    guesses.append(found)
    return _put(source, head, ranked[0].guess)


def _put(source: DataSource, head: Head | None, way: WayOfPreparing) -> DataSource:
    return structs.replace(source, head=head, preprocessing=way.keys)


def _guess(key: str, value: str, metric: str, samples: int, tried: Sequence[Tried[Any]]) -> Guess:
    reason = in_words(metric, samples, tried)
    if len(tried) > 1 and (not math.isfinite(tried[0].figure) or tried[0].figure == tried[1].figure):
        reason += "; nothing tells it from the next, so the more usual one was taken: check it"
    return Guess(key=key, value=value, reason=reason)


def _once_each(tried: Sequence[Tried[Any]]) -> list[Tried[Any]]:
    """Return the first of each name: heads are tried with several ways."""
    return list({each.name: each for each in reversed(tried)}.values())[::-1]


def head_in_words(head: Head | None) -> str:
    """Return a head's kind and what it states, e.g. `yolov8 (normalized = True)`."""
    if head is None:
        return "none"
    stated = [f"{key} = {value}" for key, value in head.options.items()]
    stated += [f"outputs = {', '.join(head.outputs)}"] if head.outputs else []
    stated += [f"keypoints = {head.keypoints}"] if head.keypoints else []
    return head.kind + (f" ({'; '.join(stated)})" if stated else "")


def _without_preprocessing(spec: DatasetSpec | None) -> DatasetSpec | None:
    """Return calibration data that takes its preprocessing from the contract's `[data]`."""
    return structs.replace(spec, preprocessing={}) if isinstance(spec, DataSource) else spec
