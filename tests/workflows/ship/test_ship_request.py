"""What a contract asks for."""

from __future__ import annotations

import pytest

from edgedeploy.values.contract import Contract, ContractData, ContractModel, Limits
from edgedeploy.workflows.ship.request import stated_metric


@pytest.mark.parametrize(
    ("limits", "metric", "stated"),
    [
        (Limits(size_max_bytes=1000), "top1", None),
        (Limits(metric_min=0.9), "top1", "top1"),
        (Limits(metric_max_drop=0.01), "top1", "top1"),
        (Limits(agreement_top1_min=0.99), "top1", "top1"),
        (Limits(size_max_bytes=1000), "top5", "top5"),
    ],
)
def test_a_contract_says_that_a_model_classifies_by_what_it_limits(
    limits: Limits, metric: str, stated: str | None
) -> None:
    model = ContractModel(name="m", version="1", framework="f", file="m.onnx", sha256="0" * 64)
    contract = Contract(schema=1, model=model, data=ContractData(evaluation="e.npz", metric=metric), limits=limits)
    assert stated_metric(contract) == stated
