"""Errors have the full path of a file that a command line names; exit codes are those that the documentation has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError, MeasurementError, exit_codes
from edgedeploy.measure.files import save_measurement
from edgedeploy.values.measurement import Measurement, MeasurementWarning, Validity

_DOCS = [Path(__file__).parents[2] / "README.md", *sorted((Path(__file__).parents[2] / "docs").glob("*.md"))]


_CONTRACT = """schema = 1
[model]
name = "m"
version = "1"
framework = "none"
file = "model.onnx"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
[data]
evaluation = "evaluation.npz"
[limits]
metric_min = 0.5
"""


def error_of(*words: str) -> EdgedeployError:
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    assert isinstance(result.exception, EdgedeployError), result.exception
    return result.exception


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[[["], ids=["missing", "empty", "without keys", "cut"])
@pytest.mark.parametrize(
    "words",
    [
        ("check", "FILE", "--contract", "contract.toml"),
        ("check", "sound.json", "--contract", "FILE"),
        ("compare", "FILE", "sound.json"),
        ("compare", "sound.json", "FILE"),
        ("baseline", "save", "kept.json", "FILE"),
        ("baseline", "check", "FILE", "sound.json"),
        ("baseline", "show", "FILE"),
        ("contract", "show", "FILE"),
        ("contract", "check", "FILE"),
        ("ship", "FILE", "board:none"),
        ("optimize", "model.onnx", "--recipe", "./FILE", "-o", "out.onnx"),
    ],
    ids=" ".join,
)
def test_an_error_has_the_full_path(
    words: tuple[str, ...],
    content: bytes | None,
    measurement: Measurement,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_measurement(measurement, tmp_path / "sound.json")
    name = "named.toml" if words[-1] == "FILE" or "ship" in words or "./FILE" in words else "named.json"
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "contract.toml").write_text(_CONTRACT)
    error = error_of(*(word.replace("FILE", name) for word in words))
    assert str(tmp_path / name) in error.what, error
    assert error.exit_code == InvalidFileError.exit_code


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "sound.json", "hot.json"),
        ("compare", "hot.json", "sound.json"),
        ("baseline", "save", "kept.json", "hot.json"),
        ("baseline", "check", "kept.json", "hot.json"),
        ("compare", "sound.json", "untimed.json"),
    ],
    ids=" ".join,
)
def test_measurements_that_decide_nothing_end_with_a_code_of_their_own(
    words: tuple[str, ...], measurement: Measurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = measurement
    assert sound.timing is not None
    warning = MeasurementWarning(reason="throttled for 14 of 60 s", hint="let it cool", invalidates=True)
    hot = structs.replace(sound.timing, validity=Validity(outcome="invalid", warnings=(warning,)))
    save_measurement(sound, Path("sound.json"))
    save_measurement(structs.replace(sound, timing=hot), Path("hot.json"))
    save_measurement(structs.replace(sound, timing=None), Path("untimed.json"))
    kept = CliRunner().invoke(cli, ["baseline", "save", "kept.json", "sound.json"], standalone_mode=False)
    assert kept.return_value == 0
    before = Path("kept.json").read_bytes()
    error = error_of(*words)
    assert isinstance(error, MeasurementError) and error.exit_code == 15
    assert Path("kept.json").read_bytes() == before


def test_exit_codes_in_the_documentation_are_those_there_are() -> None:
    known = {0, 1, 2, 70, 129, 130, 141, 143, *exit_codes()}
    said = {
        (path.name, int(code))
        for path in _DOCS
        for code in re.findall(r"(?:exit code|exits? with|ends with(?: exit code)?) (\d+)\b", path.read_text())
    }
    assert {code for _, code in said} <= known, said
    ci = next(path for path in _DOCS if path.name == "ci.md").read_text()
    table = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.+) \|$", ci, re.MULTILINE)}
    assert {code: table.get(code) for code in exit_codes()} == exit_codes()
    assert set(table) <= known
