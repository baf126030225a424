"""Make a contract of a model and labeled data: what is not stated is tried, and what was guessed is said."""

from __future__ import annotations

import functools
import itertools
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
    finer_task,
    first_sample,
    is_of_numbers,
    keypoints_of,
    task_of,
    ways,
    with_format,
    with_part,
)
from edgedeploy.workflows.init.tables_and_texts import with_label_column, with_tokenizer
from edgedeploy.workflows.init.trials import Trials, Tried, in_words, is_chance, is_close

_SAMPLES, _FEW_SAMPLES = 32, 12
"""On which ways of preparing are compared; and pairs of a head and one of the two most usual ways."""
_MANY_SAMPLES, _MOST_CLOSE = 128, 4
"""On which those are compared again that chance may have ordered."""
_USUAL_WAYS = 2
_NUMBERINGS = (1, 0)
"""Of COCO: what `class_ids_from` is for models whose classes keep the ids of categories."""
_HEADED: tuple[Task, ...] = ("detection", "instance-segmentation", "keypoints", "segmentation", "speech")
"""Tasks whose answers a head reads from the outputs."""
_STATED = "as stated"
_NO_BETTER_THAN_CHANCE = (
    "that is no better than chance: the model was trained with samples that were prepared in another way, or with "
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
    source = with_tokenizer(with_label_column(source, facts, guesses), model, facts, guesses)
    possible = ways(source, settings.preset, facts, settings.task)
    sample, task = first_sample(source, possible, facts)
    finer = finer_task(source, possible, facts) if task == "detection" and not source.task else None
    if finer is not None:
        task, reason, sample = finer
        source = structs.replace(source, task=task)
    elif task is None:
        task, reason = task_of(sample, facts)
    else:
        reason = _STATED if source.task else "the format says so"
    guesses.append(Guess(key="task", value=task or "regression", reason=reason))
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
    source = _with_class_ids(source, trials, guesses)
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
        tried = _tried_heads(source, heads, possible[:_USUAL_WAYS], trials)
        head = tried[0].guess[0]
        guesses.append(_guess("head", head_in_words(head), _once_each(tried)))
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
        ranked = sorted(ranked, key=lambda one: one.rank)
    close = [one for one in ranked if is_close(one.figure, ranked[0].figure)][:_MOST_CLOSE]
    if len(close) > 1:
        ranked = trials.of([(one.name, one.guess) for one in close], lambda way: _put(source, head, way), _MANY_SAMPLES)
    found = _guess("preprocessing", ranked[0].name, ranked)
    if is_chance(ranked[0].figure, model_classes(trials.facts, task, head)):
        found = structs.replace(found, reason=f"{found.reason}; {_NO_BETTER_THAN_CHANCE}")
    guesses.append(found)
    return _put(source, head, ranked[0].guess)


def _tried_heads(
    source: DataSource, heads: Sequence[Head | None], possible: Sequence[WayOfPreparing], trials: Trials
) -> list[Tried[tuple[Head | None, WayOfPreparing]]]:
    """Try heads with the usual ways. Where none finds anything, classes may be numbered otherwise: with any head, no
    answer would be right."""
    pairs = [(head_in_words(one), (one, way)) for way, one in itertools.product(possible, heads)]
    tried: list[Tried[tuple[Head | None, WayOfPreparing]]] = []
    for begin in (source.class_ids_from, *(_NUMBERINGS if _may_keep_ids(source) else ())):
        numbered = structs.replace(source, class_ids_from=begin)
        found = trials.of(pairs, functools.partial(_put_pair, numbered), _FEW_SAMPLES)
        tried = tried or found
        if found[0].figure is not None and found[0].figure.value > 0:
            return found
    return tried


def _put_pair(source: DataSource, pair: tuple[Head | None, WayOfPreparing]) -> DataSource:
    return _put(source, *pair)


def _may_keep_ids(source: DataSource) -> bool:
    return source.format == "coco" and not source.class_names and source.class_ids_from is None


def _with_class_ids(source: DataSource, trials: Trials, guesses: list[Guess]) -> DataSource:
    """Return a source of COCO's form whose classes keep the ids of their categories, where the model answers so: as
    detectors of TensorFlow and torchvision do, which have 90 classes for COCO's 80."""
    if not _may_keep_ids(source):
        return source
    stated: list[tuple[str, int | None]] = [(f"class_ids_from = {begin}", begin) for begin in _NUMBERINGS]
    numberings = [("classes in the order of ids", None), *stated]
    tried = trials.of(numberings, lambda begin: structs.replace(source, class_ids_from=begin), _SAMPLES)
    best = tried[0]
    in_order = next(one for one in tried if one.guess is None)
    if best.guess is None or is_close(in_order.figure, best.figure):
        return source
    guesses.append(_guess("class_ids_from", str(best.guess), tried))
    return structs.replace(source, class_ids_from=best.guess)


def _put(source: DataSource, head: Head | None, way: WayOfPreparing) -> DataSource:
    return structs.replace(source, head=head, preprocessing=way.keys)


def _guess(key: str, value: str, tried: Sequence[Tried[Any]]) -> Guess:
    reason = in_words(tried)
    if len(tried) > 1 and tried[0].rank == tried[1].rank:
        reason += "; nothing tells it from the next, so the more usual one was taken: check it"
    elif len(tried) > 1 and is_close(tried[1].figure, tried[0].figure):
        reason += "; chance may be why it is before the next: check it"
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
