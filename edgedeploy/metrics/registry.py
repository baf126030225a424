"""Which metrics there are, and finding one by its name."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Sequence

from edgedeploy.datasets.dataset import Dataset
from edgedeploy.foundation.callables import is_object_name, load_callable
from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.metrics.heads.registry import head_task
from edgedeploy.metrics.metric import Metric
from edgedeploy.metrics.own import own_metric
from edgedeploy.values.head import Head
from edgedeploy.values.metric_facts import METRIC_FACTS, default_metric, metric_facts

Make = Callable[[str, Head | None, Sequence[str]], Metric]
"""Makes the metric of a name, for a head and the names of the model's outputs."""

_MODULES = (
    "classification",
    "regression",
    "detection",
    "segmentation",
    "pictures",
    "speech",
    "retrieval",
    "language",
)
"""Of this package, each with a table `BUILT_IN`."""


def metric_names() -> tuple[str, ...]:
    """List the metrics that edgedeploy has."""
    return tuple(METRIC_FACTS)


def find_metric(name: str, head: Head | None = None, outputs: Sequence[str] = ()) -> Metric:
    """Return the metric called `name`: a built-in one, or `"package.module:name"`.

    Args:
        head: what turns the model's outputs into answers, of metrics for boxes, masks, points and text.
        outputs: names of the model's outputs, in its order; a head may name those that it reads.

    Raises:
        UnknownNameError: there is none of that name, or what it names cannot be imported; or there is no such head.
        UnsupportedError: the metric needs a head, and none is given; or it is an object that is no metric.
    """
    if metric_facts(name) is not None:
        return _makers()[_family(name)](name, head, tuple(outputs))
    if is_object_name(name):
        return own_metric(name, load_callable(name))
    raise UnknownNameError(
        f"there is no metric {name!r}",
        why=f"known: {', '.join(METRIC_FACTS)}, or a function of your own",
        hint=did_you_mean(name, METRIC_FACTS, "choose one of them, or name a function as package.module:function"),
    )


def check_metric(name: str) -> None:
    """Check that there is a metric of that name, before anything is opened for it.

    Raises:
        UnknownNameError: as `find_metric`.
    """
    if metric_facts(name) is None:
        find_metric(name)


def chosen_metric(name: str | None, head: Head | None, dataset: Dataset, outputs: Sequence[str] = ()) -> Metric:
    """Return the metric that a dataset is judged by.

    Args:
        name: as the user named it; None takes the usual one of the task, which the data or the head tells.
        head: as the user stated it; None takes that of the data.
        outputs: as `find_metric`.

    Raises:
        UnknownNameError, UnsupportedError: as `find_metric`.
    """
    stated = head or dataset.head
    task = dataset.task or (head_task(stated) if stated is not None else None)
    return find_metric(name or default_metric(task), stated, outputs)


def _family(name: str) -> str:
    return re.sub(r"@\d+$", "@", name)


@functools.cache
def _makers() -> dict[str, Make]:
    found: dict[str, Make] = {}
    for module in _MODULES:
        found |= importlib.import_module(f"edgedeploy.metrics.{module}").BUILT_IN
    return found
