"""What breaks a gate before a board is booted ends it with the right code and words, in all its files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml
from support.small_contract import small_contract

from edgedeploy.cli.main import cli
from edgedeploy.foundation.forced_end import run_steps
from edgedeploy.values.gate import Gate

FILES = ("gate.json", "junit.xml", "summary.md", "metrics.txt")


@pytest.fixture
def nothing_boots(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that has no QEMU: whoever tries to boot a board fails. Returns the boards that were to be booted."""
    tried: list[str] = []
    from edgedeploy.workflows.gate import boards

    original = boards.emulated_board

    def watched(name: str, **settings: Any) -> Any:
        tried.append(name)
        return original(name, **settings)

    monkeypatch.setattr(boards, "emulated_board", watched)
    monkeypatch.setattr("edgedeploy.foundation.programs.SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    return tried


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_contract(tmp_path / "handed over")


def gate(*words: str | Path, out: Path) -> Result:
    return CliRunner().invoke(cli, ["gate", *map(str, words), "--out", str(out)], standalone_mode=False)


def read(out: Path) -> tuple[Gate, Any, str]:
    document = (out / "gate.json").read_bytes()
    return (
        msgspec.json.decode(document, type=Gate),
        JUnitXml.fromfile(str(out / "junit.xml")),
        (out / "summary.md").read_text(),
    )


def baseline_missing(small: Path) -> list[str | Path]:
    return [small, "--baseline", small.with_name("none.json")]


def baseline_damaged(small: Path) -> list[str | Path]:
    damaged = small.with_name("baseline.json")
    damaged.write_text('{"schema": 1, "entries": [')
    return [small, "--baseline", damaged]


def contract_missing(small: Path) -> list[str | Path]:
    return [small.with_name("none.toml")]


def data_missing(small: Path) -> list[str | Path]:
    small.with_name("evaluation.npz").unlink()
    return [small]


def wrong_model(small: Path) -> list[str | Path]:
    model = small.with_name("model.onnx")
    model.write_bytes(model.read_bytes() + b"\x12\x00")
    return [small]


def wrong_data(small: Path) -> list[str | Path]:
    return [small_contract(small.parent, data=f'evaluation_sha256 = "{"0" * 64}"')]


def unknown_target(small: Path) -> list[str | Path]:
    return [small, "--target", "rpi9"]


def target_without_board(small: Path) -> list[str | Path]:
    return [small, "--target", "x86-64"]


def other_backend(small: Path) -> list[str | Path]:
    return [small, "--backend", "none-such"]


def code_in_the_contract(small: Path) -> list[str | Path]:
    return [small_contract(small.parent, data='metric = "ours:score"')]


@pytest.mark.parametrize(
    ("broken", "code", "words"),
    [
        (baseline_missing, 3, ["none.json does not exist", "add --save"]),
        (baseline_damaged, 3, ["baseline.json is not a baseline", "edgedeploy baseline save"]),
        (contract_missing, 3, ["none.toml does not exist", "check the path"]),
        (data_missing, 3, ["data.evaluation", "evaluation.npz does not exist"]),
        (wrong_model, 11, ["model.onnx is not the model that the contract names"]),
        (wrong_data, 11, ["data.evaluation_sha256", "is not the data that the contract names"]),
        (unknown_target, 6, ["there is no target 'rpi9'", "did you mean"]),
        (target_without_board, 5, ["x86-64 has no emulated board"]),
        (other_backend, 5, ["cannot have the backend 'none-such'"]),
        (code_in_the_contract, 5, ["names Python code", "--allow-code"]),
    ],
)
def test_a_mistake_is_found_before_a_board_is_booted(
    tmp_path: Path,
    small: Path,
    nothing_boots: list[str],
    broken: Callable[[Path], list[str | Path]],
    code: int,
    words: list[str],
) -> None:
    done = gate(*broken(small), out=tmp_path / "out")
    assert done.return_value == code, done.output
    assert nothing_boots == []
    result, junit, markdown = read(tmp_path / "out")
    assert (result.exit_code, result.holds) == (code, False)
    assert sum(suite.errors for suite in junit) >= 1
    texts = [case.result[0].text for suite in junit for case in suite if case.result and case.result[0].text]
    # Markdown escapes what it would take for its own.
    for said in (done.stderr, "\n".join(texts), markdown.replace("\\", "")):
        for each in words:
            assert each in said
    assert "# EOF" in (tmp_path / "out/metrics.txt").read_text()


def test_all_mistakes_are_found_at_once(tmp_path: Path, small: Path, nothing_boots: list[str]) -> None:
    done = gate(small.with_name("a.toml"), small, *("--target", "rpi9", "--target", "rpi4"), out=tmp_path / "out")
    assert done.return_value == 3
    result, _, _ = read(tmp_path / "out")
    states = {(Path(cell.contract).name, cell.target): cell.state for cell in result.cells}
    assert states == {
        ("a.toml", "rpi9"): "error",
        ("a.toml", "rpi4"): "error",
        ("contract.toml", "rpi9"): "error",
        ("contract.toml", "rpi4"): "not run",
    }
    assert nothing_boots == []


def test_two_contracts_of_one_model_name_are_refused(tmp_path: Path, small: Path, nothing_boots: list[str]) -> None:
    other = small_contract(tmp_path / "other")
    done = gate(small, other, out=tmp_path / "out")
    assert done.return_value == 3 and "are both of the model small" in done.stderr
    # The same file twice is one contract.
    assert gate(small, small, out=tmp_path / "out").return_value == 7
    assert nothing_boots == ["gate-rpi4"]


def test_a_machine_without_qemu_is_an_error_of_each_target(
    tmp_path: Path, small: Path, nothing_boots: list[str]
) -> None:
    done = gate(small, *("--target", "rpi4", "--target", "rpi2"), out=tmp_path / "out")
    assert done.return_value == 7
    assert nothing_boots == ["gate-rpi4", "gate-rpi2"]
    result, junit, markdown = read(tmp_path / "out")
    assert [cell.state for cell in result.cells] == ["error", "error"]
    assert sum(suite.errors for suite in junit) == 2 and "apt-get install" in markdown


def test_saving_needs_a_file(small: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["gate", str(small), "--save", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "--save needs --baseline" in done.output
    assert not (tmp_path / "out").exists()


def test_what_an_earlier_run_wrote_does_not_stay(tmp_path: Path, nothing_boots: list[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (*FILES, "mine.txt"):
        (out / name).write_text("written before")
    gate(tmp_path / "none.toml", out=out)
    assert "written before" not in "".join((out / name).read_text() for name in FILES)
    assert (out / "mine.txt").read_text() == "written before"


def test_json_is_the_file(tmp_path: Path, nothing_boots: list[str]) -> None:
    done = gate(tmp_path / "none.toml", "--json", out=tmp_path / "out")
    printed = json.loads(done.stdout)
    written = json.loads((tmp_path / "out/gate.json").read_bytes())
    assert {**printed, "seconds": 0} == {**written, "seconds": 0}


_WAITING = """
import signal, sys, time
# A shell's command in the background is to ignore it, and so do those that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
from edgedeploy.cli import main
from edgedeploy.workflows.gate import gate as module
def wait(*args, **settings):
    print("waiting", flush=True)
    time.sleep(60)
module.gate_board = wait
main.main()
"""
"""A gate that boots for ever: what a signal leaves of it. With a real board: tests/emulated/test_gate.py."""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "words"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "")])
def test_a_signal_ends_it_with_its_code_and_all_files(
    tmp_path: Path, small: Path, number: signal.Signals, code: int, words: str
) -> None:
    program = [sys.executable, "-c", _WAITING, "gate", str(small), "--out", str(tmp_path / "out")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "waiting\n"
            process.send_signal(number)
            assert process.wait(timeout=30) == code
        finally:
            process.kill()
    result, junit, markdown = read(tmp_path / "out")
    assert result.exit_code == code and not result.holds
    assert sum(suite.errors for suite in junit) == 1
    assert "edgedeploy gate: stopped" in markdown and (words or "interrupted") in markdown


def test_what_is_ended_by_force_has_its_files(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that computes lets Python run no handler: `cli.signals` then takes these steps in another thread."""
    from edgedeploy.workflows.gate import gate as module

    def stuck(*args: Any, **settings: Any) -> Any:
        run_steps(130)
        raise MemoryError

    monkeypatch.setattr(module, "gate_board", stuck)
    with pytest.raises(MemoryError):
        CliRunner().invoke(cli, ["gate", str(small), "--out", str(tmp_path / "out")], catch_exceptions=False)
    result, _, markdown = read(tmp_path / "out")
    assert result.exit_code == 130 and "stopped by a signal" in markdown


def test_a_mistake_of_ours_is_in_the_files_and_goes_on(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgedeploy.workflows.gate import gate as module

    def wrong(*args: Any, **settings: Any) -> Any:
        raise ZeroDivisionError("by <zero>")

    monkeypatch.setattr(module, "gate_board", wrong)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(cli, ["gate", str(small), "--out", str(tmp_path / "out")], catch_exceptions=False)
    result, _, markdown = read(tmp_path / "out")
    assert result.exit_code == 70
    assert "ZeroDivisionError" in markdown and "<zero>" not in markdown.replace("\\<zero\\>", "")
