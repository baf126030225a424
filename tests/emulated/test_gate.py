"""The gate that others get, on edgedeploy itself: the demo's model against its contract, and the instructions of an
inference against the baseline in this repository. A pass or a kernel that makes more work of it fails here.

And what breaks a pull request on a board. What is found before a board is booted: tests/workflows/gate/test_gate.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from junitparser import JUnitXml
from msgspec import structs
from support.handed_over import hand_over
from support.small_contract import small_contract

from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.board import board_list
from edgedeploy.device.emulator.state import board_folder
from edgedeploy.values.baseline import Baseline, BaselineEntry, CountedRun
from edgedeploy.values.gate import Gate, GateCell
from edgedeploy.verdict.baseline import load_baseline, save_baseline

ROOT = Path(__file__).parents[2]
NATIVE = ("--backend", "native", "--minimal")

pytestmark = [pytest.mark.emulated, pytest.mark.keeps_cache]


def command(*words: str | Path, out: Path) -> list[str]:
    return [str(ROOT / "scripts/gate"), *map(str, words), *NATIVE, "--out", str(out)]


def environment() -> dict[str, str]:
    return {**os.environ, "EDGEDEPLOY": str(Path(sys.executable).with_name("edgedeploy"))}


def gate(*words: str | Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words, out=out), env=environment(), capture_output=True, text=True, check=False, timeout=900
    )


def read(out: Path) -> tuple[Gate, dict[str, GateCell]]:
    result = msgspec.json.decode((out / "gate.json").read_bytes(), type=Gate)
    return result, {cell.name: cell for cell in result.cells}


def boards_that_run(kind: str) -> list[str]:
    return [
        board.name for board in board_list() if board.name.startswith(kind) and qemu.is_on(board_folder(board.name))
    ]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A gate of the demo's model, which the baseline knows, and of a small one, which it is to get; and its folder."""
    folder = tmp_path_factory.mktemp("first")
    shutil.copyfile(ROOT / "scripts/demo_baseline.json", folder / "baseline.json")
    contracts = hand_over(folder / "demo"), small_contract(folder / "small", "small")
    return folder, gate(*contracts, "--baseline", folder / "baseline.json", "--save", out=folder / "out")


First = tuple[Path, subprocess.CompletedProcess[str]]


def test_the_demo_is_no_more_work_than_it_was_and_a_new_model_is_saved(first: First) -> None:
    gated, done = first
    assert done.returncode == 0, done.stdout + done.stderr
    result, cells = read(gated / "out")
    assert result.holds and [cell.saved for cell in result.cells] == ["replaced", "made"]
    assert cells["text-direction"].baseline is not None and cells["small"].baseline is None
    for cell in result.cells:
        assert cell.seconds > 1 and cell.emulator is not None and cell.emulator.startswith("QEMU ")
        assert (gated / "out" / str(cell.folder) / "report/index.html").exists()
    summary = (gated / "out/summary.md").read_text()
    assert "✅ holds" in summary and "made: small 1.0 on rpi4" in summary
    assert sum(suite.failures + suite.errors for suite in JUnitXml.fromfile(str(gated / "out/junit.xml"))) == 0
    saved = load_baseline(gated / "baseline.json")
    assert [entry.name for entry in saved.entries] == ["small", "text-direction"]
    assert all(entry.emulator == result.cells[0].emulator and entry.accuracy is not None for entry in saved.entries)
    assert "text-direction on rpi4: " in done.stderr and "small on rpi4: " in done.stderr


def smaller(entry: BaselineEntry, name: str, *, instructions: float, size: float) -> BaselineEntry:
    """The entry of a model that was this much less work and bytes."""
    runs = tuple(
        CountedRun(median=run.median / instructions, low=run.low / instructions, high=run.high / instructions)
        for run in entry.instructions
    )
    return structs.replace(entry, name=name, instructions=runs, model_size_bytes=round(entry.model_size_bytes / size))


def test_worse_slower_and_larger_break_with_their_words(first: First, tmp_path: Path) -> None:
    gated, _ = first
    (entry,) = (each for each in load_baseline(gated / "baseline.json").entries if each.name == "small")
    before = tmp_path / "before.json"
    entries = (
        smaller(entry, "grown", instructions=1.01, size=1.02),
        structs.replace(entry, name="worse", emulator="QEMU 0.1"),
    )
    save_baseline(Baseline(schema=1, entries=entries), before)
    content = before.read_bytes()
    grown = small_contract(tmp_path / "grown", "grown")
    worse = small_contract(tmp_path / "worse", "worse", limits="metric_min = 0.99")
    done = gate(grown, worse, "--baseline", before, "--save", out=tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    # Figures that are worse do not become what is gated against.
    assert before.read_bytes() == content
    _, cells = read(tmp_path / "out")
    assert {name: cell.state for name, cell in cells.items()} == dict.fromkeys(("grown", "worse"), "breaks")
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(tmp_path / "out/junit.xml"))}
    broken = {
        name: [case.name for case in suite if case.result and case.result[0].type == "breaks"]
        for name, suite in suites.items()
    }
    assert {name: lines for name, lines in broken.items() if lines} == {
        "gate grown 1.0 on rpi4": ["the gate is passed"],
        "baseline grown 1.0 on rpi4": [
            *("grown.rpi4.counted.instructions_max", "grown.rpi4.counted.model_size_max_bytes", "the baseline holds")
        ],
        "gate worse 1.0 on rpi4": ["the gate is passed"],
        "contract worse 1.0 on rpi4": ["metric_min", "the contract holds"],
    }
    summary = (tmp_path / "out/summary.md").read_text()
    for words in ("+2.00%", "+1.00%", "90.00%", "QEMU 0.1 in the baseline", "edgedeploy baseline save"):
        assert words in summary, words
    assert boards_that_run("gate-rpi4") == []


def test_a_board_that_does_not_boot(tmp_path: Path) -> None:
    """On a target whose processor no QEMU has."""
    targets = Path(os.environ["XDG_CONFIG_HOME"]) / "edgedeploy/targets"
    targets.mkdir(parents=True)
    text = (ROOT / "targets/rpi4.toml").read_text()
    (targets / "no-such.toml").write_text(text.replace('cpu = "cortex-a72"', 'cpu = "no-such"'))
    contract = small_contract(tmp_path / "small", "small")
    done = gate(contract, "--target", "no-such", out=tmp_path / "out")
    assert done.returncode == 13, done.stdout + done.stderr
    assert "QEMU does not start" in done.stderr
    _, cells = read(tmp_path / "out")
    assert cells["small"].state == "error"
    (suite,) = JUnitXml.fromfile(str(tmp_path / "out/junit.xml"))
    assert suite.errors == 1
    assert "QEMU does not start" in (tmp_path / "out/summary.md").read_text()


def test_a_gate_that_is_cancelled_leaves_no_board(tmp_path: Path) -> None:
    contract = small_contract(tmp_path / "small", "small")
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command(contract, out=tmp_path / "out"), env=environment(), stderr=file)
    try:
        deadline = time.monotonic() + 600
        while not boards_that_run("gate-rpi4") and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143, log.read_text()
    finally:
        process.kill()
    assert boards_that_run("gate-rpi4") == []
    result, _ = read(tmp_path / "out")
    assert result.exit_code == 143
    assert "stopped by SIGTERM" in (tmp_path / "out/summary.md").read_text()
    assert sum(suite.errors for suite in JUnitXml.fromfile(str(tmp_path / "out/junit.xml"))) == 1
