"""What is asked of `ship`, resolved once: files found, their digests checked, the recipe read."""

from __future__ import annotations

import contextlib
from pathlib import Path

from msgspec import Struct

from edgedeploy.bundle.signature import check_key
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, IntegrityError, InvalidFileError, UnknownNameError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.metrics.registry import check_metric, chosen_metric
from edgedeploy.model.identity import sha256_of_model
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.recipes.recipe import Recipe, load_recipe
from edgedeploy.optimize.search.settings import SearchSettings
from edgedeploy.targets.load import load_target
from edgedeploy.values.contract import Allowance, Contract
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.head import Head
from edgedeploy.values.metric_facts import metric_facts
from edgedeploy.verdict.contract import dataset_spec, has_expired, naming, refuse_code

_DEFAULT_METRIC = "top1"
_ANY_DROP = 1e100
"""Of metrics that are no shares, where the contract states no drop."""


class ShipRequest(Struct, frozen=True, kw_only=True):
    """All that `ship` needs to know; after it, nobody looks anything up in the contract but the check against it."""

    contract: Contract
    model: Path
    """The file that the contract names; its SHA-256 is the contract's."""
    calibration: DatasetSpec | None
    """A dataset, as `open_dataset` takes it."""
    evaluation: DatasetSpec
    """A dataset with labels, as `open_dataset` takes it."""
    metric: str | None
    """None where the contract needs none, so that labels say whether the model classifies."""
    head: Head | None
    """What turns its outputs into answers, for metrics that need it."""
    max_drop: float | str
    """How much the metric of the optimized model may fall on this machine, in its own units."""
    recipe: Recipe
    search_settings: SearchSettings
    allowed: tuple[Allowance, ...]
    device: str
    """An address, as `connect` takes it."""
    target: str | None
    """A target's name; None: the target that fits the device best."""
    backend: str
    profile: str
    """How long to measure: `"smoke"`, `"standard"` or `"long"`."""
    strict: bool
    sign_key: Path | None

    @property
    def name(self) -> str:
        """Of the model, on devices."""
        return self.contract.model.name

    @property
    def version(self) -> str:
        """Of the model, on devices."""
        return self.contract.model.version


def resolve(
    contract: Contract,
    device: str,
    *,
    target: str | None,
    backend: str,
    profile: str,
    strict: bool,
    sign_key: Path | None,
    allow_code: bool,
) -> ShipRequest:
    """Find and check everything on this machine that a shipment needs, before hours of work begin.

    Raises:
        InvalidFileError: the contract has expired; the model, data, a recipe or the key is missing or malformed.
        DatasetError: the data does not fit the model, or has no labels.
        IntegrityError: the model is not the one that the contract names.
        UnknownNameError: there is no such recipe or metric.
        UnsupportedError: the contract names Python code, and `allow_code` is not given.
    """
    if not allow_code:
        refuse_code(contract)
    _check_expiry(contract)
    if sign_key is not None:
        check_key(sign_key)
    model, recipe = _check_named(contract)
    optimization = contract.optimization
    return ShipRequest(
        contract=contract,
        model=model,
        calibration=dataset_spec(contract, contract.data.calibration) if contract.data.calibration else None,
        evaluation=dataset_spec(contract, contract.data.evaluation),
        metric=stated_metric(contract),
        head=contract.data.head,
        max_drop=stated_drop(contract),
        recipe=recipe,
        search_settings=SearchSettings(objective=optimization.objective, time_budget_s=optimization.time_budget_s),
        allowed=optimization.allow,
        device=device,
        target=target,
        backend=backend,
        profile=profile,
        strict=strict,
        sign_key=sign_key,
    )


def stated_drop(contract: Contract) -> float | str:
    """Return how much worse the metric may get on this machine, as `optimize` takes it.

    Of two limits the one in the metric's own units is taken here; on the device both are checked. A contract that
    states none is judged by its floor or ceiling alone, on the device.
    """
    absolute, relative = contract.limits.metric_max_drop, contract.limits.metric_max_drop_relative
    if absolute is not None:
        return absolute
    if relative is not None:
        return f"{relative * 100!r}%"
    facts = metric_facts(contract.data.metric)
    return 1.0 if facts is None or facts.is_share else _ANY_DROP


def stated_metric(contract: Contract) -> str | None:
    """Return the metric that a contract judges by; None where nothing in it needs one: labels then say what it is.

    A limit for the metric or for answers says that the model has such: `top1` stands for it where nothing else does.
    """
    limits = contract.limits
    needed = (*_metric_limits(contract), limits.agreement_top1_min)
    if contract.data.metric == _DEFAULT_METRIC and all(limit is None for limit in needed):
        return None
    return contract.data.metric


def _metric_limits(contract: Contract) -> tuple[float | None, ...]:
    limits = contract.limits
    return limits.metric_min, limits.metric_max, limits.metric_max_drop, limits.metric_max_drop_relative


def _check_named(contract: Contract) -> tuple[Path, Recipe]:
    """Open all that the contract names: a mistake in it is not to be found after an hour's work, or a board's boot."""
    data = contract.data
    with naming(contract, "model", "file"):
        model = _model(contract)
        facts = inspect_model(model)
        inputs = facts.inputs
    with naming(contract, "optimization", "recipe"):
        recipe = load_recipe(contract.optimization.recipe)
    with naming(contract, "data", "metric"):
        check_metric(data.metric)
    with naming(contract, "data", "evaluation"):
        evaluation = open_dataset(dataset_spec(contract, data.evaluation), inputs)
        if not evaluation.has_labels and any(limit is not None for limit in _metric_limits(contract)):
            raise DatasetError(
                f"{evaluation.spec} has no labels",
                why="the contract limits its metric, which needs them",
                hint="add an array `labels`, with a label for each sample",
            )
    if evaluation.has_labels:
        with naming(contract, "data", "metric"):
            chosen_metric(data.metric, data.head, evaluation, [each.name for each in facts.outputs])
    if data.calibration is not None:
        with naming(contract, "data", "calibration"):
            open_dataset(dataset_spec(contract, data.calibration), inputs)
    for name in contract.limits.target:
        # Limits for a target that only others have do not matter here; a file of it that is wrong does.
        with contextlib.suppress(UnknownNameError), naming(contract, "limits", "target", name):
            load_target(name)
    return model, recipe


def _check_expiry(contract: Contract) -> None:
    model = contract.model
    if has_expired(contract):
        raise InvalidFileError(
            f"the contract of {model.name} {model.version} expired on {model.expires}",
            hint=f"ask {model.owner or 'the people who trained the model'} for a new one",
        )


def _model(contract: Contract) -> Path:
    path = contract.folder / contract.model.file
    try:
        sha256 = sha256_of_model(path)
    except InvalidFileError:
        sha256 = sha256_file(path)
        if sha256 == contract.model.sha256:
            raise
    if sha256 != contract.model.sha256:
        raise IntegrityError(
            f"{path} is not the model that the contract names",
            why="its SHA-256 is another one",
            hint="ask for the right file, or for a contract of this one",
        )
    return path
