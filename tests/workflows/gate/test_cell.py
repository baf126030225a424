"""One contract on one board: what its shipment means for the gate."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from support.sample_shipment import shipment
from support.small_contract import small_contract

from edgedeploy.device.emulator.board import BoardStatus
from edgedeploy.foundation.progress import SILENT
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.values.baseline import Baseline
from edgedeploy.values.gate import GateCell
from edgedeploy.values.shipment import Shipment
from edgedeploy.verdict.contract import load_contract
from edgedeploy.workflows.gate import cell as module
from edgedeploy.workflows.gate.boards import board_name
from edgedeploy.workflows.gate.request import GateSettings

BOARD = BoardStatus(
    name="gate-rpi4", address="board:gate-rpi4", target="rpi4", os="bookworm", counting=True, minimal=False,
    state="up", kvm=False, port=2222, pid=1, boot_s=10.0, disk_mb=2048, image="x", folder="x",
)  # fmt: skip
CELL = GateCell(contract="contract.toml", target="rpi4")


def counted(made: Shipment, instructions: int = 1_000_000, emulator: str = "QEMU 7.2.22") -> Shipment:
    assert made.measurement is not None
    conditions = structs.replace(made.measurement.conditions, emulated=True, emulator=emulator)
    count = instruction_count(instructions, [instructions], [instructions] * 8)
    measurement = structs.replace(made.measurement, timing=None, count=count, conditions=conditions)
    return structs.replace(made, measurement=measurement)


def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    made: Shipment,
    baseline: Baseline | None = None,
    settings: GateSettings | None = None,
) -> module.CellResult:
    """Run a cell whose shipment is this one. (Real ones: tests/emulated/test_gate.py.)"""
    monkeypatch.setattr(module, "ship", lambda *args, **more: made)
    contract = load_contract(small_contract(tmp_path / "small"))
    return module.run_cell(CELL, contract, BOARD, baseline, settings or GateSettings(), SILENT)


@pytest.mark.parametrize(
    ("backend", "asked", "passed"),
    [("onnxruntime", "auto", True), ("onnxruntime", "onnxruntime", False), ("FIRST", "auto", False)],
)
def test_a_runtime_that_auto_could_not_take_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str, asked: str, passed: bool
) -> None:
    from edgedeploy.targets.backends import usable_backends
    from edgedeploy.targets.load import load_target

    names = [facts.name for facts in usable_backends(load_target("rpi4"), "onnx")]
    assert names.index("onnxruntime") > 0
    made = counted(shipment())
    assert made.bundle is not None
    took = names[0] if backend == "FIRST" else backend
    bundle = structs.replace(made.bundle, target="rpi4", backend=took, chosen=f"{names[0]}: no compiler")
    found = run(monkeypatch, tmp_path, structs.replace(made, bundle=bundle), settings=GateSettings(backend=asked))
    assert bool(found.cell.warnings) is passed
    if passed:
        (warning,) = found.cell.warnings
        assert f"could not take {names[0]}" in warning and "no compiler" in warning


def test_what_got_worse_breaks_a_contract_that_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = counted(shipment())
    before = run(monkeypatch, tmp_path, made)
    assert before.cell.baseline is None and before.cell.instructions == 1_000_000
    # Memory is left to the contract.
    assert before.measured.entries[0].peak_rss_bytes == () and before.measured.entries[0].accuracy is not None
    state = before.cell.state
    same = run(monkeypatch, tmp_path, made, before.measured)
    assert same.cell.state == state and same.cell.warnings == ()
    slower = run(monkeypatch, tmp_path, counted(made, 1_010_000, "QEMU 10.0.2"), before.measured)
    assert slower.cell.state == "breaks"
    assert "QEMU 7.2.22 in the baseline, QEMU 10.0.2 now" in " ".join(slower.cell.warnings)


def test_a_model_that_the_baseline_does_not_know_is_not_determined_unless_it_is_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, empty = counted(shipment()), Baseline(schema=1)
    assert run(monkeypatch, tmp_path, made, empty).cell.state != "holds"
    saving = GateSettings(baseline=tmp_path / "b.json", save=True)
    assert run(monkeypatch, tmp_path, made, empty, saving).cell.baseline is None


def test_a_model_that_was_refused_breaks_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = shipment()
    evidence = structs.replace(made.evidence, accepted=False, reasons=("it grew",))
    refused = structs.replace(made, evidence=evidence, verdict=None, measurement=None, release=None, bundle=None)
    found = run(monkeypatch, tmp_path, refused, Baseline(schema=1))
    assert found.cell.state == "breaks" and found.cell.verdict is not None
    assert "it grew" in found.cell.verdict.lines[0].reason and found.measured.entries == ()


def test_names_of_boards() -> None:
    assert board_name("rpi4", minimal=False) == "gate-rpi4"
    assert board_name("rpi4:trixie", minimal=True, number=2) == "gate-rpi4-trixie-minimal-2"
    for target in ("a-very-long-name-of-a-board-of-mine", "MyBoard"):
        name = board_name(target, minimal=True, number=8)
        assert len(name) <= 32 and name == name.lower()
