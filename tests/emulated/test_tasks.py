"""From files as people have them to a verdict from a board, by each task's own metric: `init`, then `ship`.

Tasks that are not here go the same way to this machine: tests/workflows/ship.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from support.task_hand_overs import HAND_OVERS

from edgedeploy import api
from edgedeploy.device.emulator.board import BoardStatus, emulated_board
from edgedeploy.values.contract import Outcome

pytestmark = [pytest.mark.emulated, pytest.mark.keeps_cache]


@pytest.fixture(scope="module")
def minimal() -> Iterator[BoardStatus]:
    name = f"pytest-{os.getpid()}-tasks"
    with emulated_board(name, target="rpi4", minimal=True, counting=True, delete=True) as status:
        yield status


@pytest.mark.parametrize("task", HAND_OVERS)
def test_it_is_judged_by_its_metric_on_the_board(
    minimal: BoardStatus, tmp_path: Path, rng: np.random.Generator, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, metric, value = HAND_OVERS[task]
    data = make(tmp_path, rng)
    settings = api.InitSettings(name=task, recipe="int8" if task == "detection" else "fold")
    contract = api.init(Path("model.onnx"), data, Path("contract.toml"), settings).contract
    # Eight bits make nothing smaller or faster of models of a few weights.
    optimization = structs.replace(contract.optimization, allow=("larger", "slower", "unjudged"))
    contract = structs.replace(contract, optimization=optimization)
    shipment = api.ship(contract, minimal.address, backend="native")
    assert shipment.evidence.accepted, shipment.evidence.reasons
    assert shipment.verdict is not None and shipment.verdict.outcome is Outcome.HOLDS, shipment.verdict
    assert shipment.measurement is not None and shipment.measurement.accuracy is not None
    found = shipment.measurement.accuracy.metric
    assert found is not None and found.name == metric
    assert found.value == pytest.approx(value, abs=0.01)
    page = api.write_report(tmp_path / "report", shipment).read_text(encoding="utf-8")
    assert metric in page
