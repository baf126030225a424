"""The main job on a real emulated board: what the demo shows, on fewer samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.handed_over import hand_over

from edgedeploy import api
from edgedeploy.device.emulator.board import BoardStatus
from edgedeploy.values.contract import Outcome

pytestmark = pytest.mark.emulated

_LIMITS = """
metric_min = 0.9
metric_max_drop = 0.03
agreement_top1_min = 0.97
size_reduction_min = 0.45
[limits.target.rpi4]
peak_memory_max_bytes = 150_000_000
latency_p90_max_ms = 0.001
"""


def test_figures_come_from_the_board_and_emulated_time_breaks_nothing(
    board: BoardStatus, counting: BoardStatus, tmp_path: Path
) -> None:
    shipment = api.ship(api.load_contract(hand_over(tmp_path / "in", limits=_LIMITS, samples=32)), board.address)
    assert shipment.bundle and shipment.bundle.target == "rpi4"
    assert shipment.measurement and shipment.measurement.accuracy and shipment.measurement.timing
    conditions = shipment.measurement.conditions
    assert conditions.machine == "aarch64"
    assert "Cortex-A72" in conditions.cpu
    assert conditions.emulated
    assert shipment.measurement.timing.clock == "emulated"
    assert shipment.measurement.timing.summary.n > 0
    assert shipment.measurement.accuracy.samples == 32
    assert counting.name == f"{board.name}-counting"
    # The guard judged on a board what it judges there for `optimize --on board:…`: answers and instructions.
    judged = {execution.arithmetic: execution for execution in shipment.evidence.executions}
    assert judged["board"].isa.startswith(board.address) and judged["board"].agreement.samples >= 16
    assert shipment.evidence.speed and shipment.evidence.speed.currency == "guest instructions"
    assert shipment.verdict
    outcomes = {line.key: line.outcome for line in shipment.verdict.lines}
    # A limit that nothing on earth keeps: on an emulated board it is neither kept nor broken.
    assert outcomes["limits.target.rpi4.latency_p90_max_ms"] is Outcome.NOT_DETERMINED
    assert outcomes["limits.target.rpi4.peak_memory_max_bytes"] is Outcome.HOLDS
    assert shipment.verdict.outcome is Outcome.HOLDS
    with api.connect(board.address) as device:
        again = api.push(api.open_bundle(_compiled_again(tmp_path, shipment.evidence.target)), device)
    assert again.sent_bytes < 1_000_000, "the runtime is on the board already"


def _compiled_again(tmp_path: Path, target: str | None) -> Path:
    """The float model for the same target: other model, same runtime."""
    assert target
    bundle = api.compile(
        tmp_path / "in/model.onnx",
        api.load_target(target),
        tmp_path / "float.bundle",
        name="text-direction",
        version="1.9",
        golden=str(tmp_path / "in/calibration.npz"),
        golden_samples=1,
    )
    return bundle.path


@pytest.mark.long
def test_the_demo_holds_its_contract(board: BoardStatus, tmp_path: Path) -> None:
    shipment = api.demo(tmp_path / "demo", board.address)
    assert shipment.verdict and shipment.verdict.outcome is Outcome.HOLDS
    assert shipment.measurement and shipment.measurement.accuracy and shipment.measurement.accuracy.samples == 600
