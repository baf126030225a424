"""Contracts are written that edgedeploy itself keeps, and what is missing in one is told by those who can mend it."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import CliRunner
from junitparser import JUnitXml
from msgspec import structs
from support.small_contract import small_contract

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import (
    DatasetError,
    EdgedeployError,
    InvalidFileError,
    UnknownNameError,
    UnsupportedError,
)
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.contract import Contract, Outcome
from edgedeploy.verdict.contract import load_contract, named_code
from edgedeploy.workflows.contract import Proposal, check_hand_over, new_contract
from edgedeploy.workflows.ship.ship import ship

MODEL = """
    <ir_version: 8, opset_import: ["" : 17]>
    model (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}> { y = MatMul(x, w) }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model that is right nine times out of ten, and its data."""
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    labels = (x @ np.array([[1, -2], [3, 4], [-5, 6]])).argmax(axis=1)
    labels[:4] = 1 - labels[:4]
    np.savez(tmp_path / "evaluation.npz", x=x, labels=labels)
    np.savez(tmp_path / "calibration.npz", x=x[:8])
    (tmp_path / "my_Model.onnx").write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proposal(folder: Path, **changes: object) -> Proposal:
    proposed = Proposal(
        model=folder / "my_Model.onnx",
        evaluation=str(folder / "evaluation.npz"),
        calibration=str(folder / "calibration.npz"),
        name="my-model",
        version="1.0",
        framework='PyTorch 2, "by hand" \\ \x7f ü 🙂',
        owner="vision team <v@example.org>",
        expires=datetime.date(2030, 12, 31),
        targets=("rpi4", "x86-64"),
    )
    return structs.replace(proposed, **changes)


def broken(contract: Contract, today: datetime.date | None = None) -> dict[str, str]:
    lines = check_hand_over(contract, today).lines
    return {line.key: line.reason for line in lines if line.outcome is not Outcome.HOLDS}


def test_a_new_contract_is_whole_and_says_what_the_model_reaches(folder):
    contract = new_contract(proposal(folder), folder / "contract.toml")
    assert contract.model.sha256 == sha256_file(folder / "my_Model.onnx")
    assert contract.model.parameters == 6
    assert contract.model.framework == proposal(folder).framework
    assert contract.data.evaluation_sha256 == sha256_file(folder / "evaluation.npz")
    assert contract.limits.metric_min == 0.89
    assert set(contract.limits.target) == {"rpi4", "x86-64"}
    assert "has 0.9 over 40 samples" in (folder / "contract.toml").read_text()
    verdict = check_hand_over(contract)
    assert (verdict.kind, verdict.outcome, verdict.owner) == (
        "hand-over",
        Outcome.HOLDS,
        "vision team <v@example.org>",
    )
    assert {line.outcome for line in verdict.lines} == {Outcome.HOLDS}


def test_without_calibration_a_recipe_is_taken_that_needs_none(folder):
    contract = new_contract(proposal(folder, calibration=None), folder / "contract.toml")
    assert contract.optimization.recipe == "weights-int8"
    assert broken(contract) == {}


def test_a_metric_of_ones_own_has_a_floor_and_no_points(folder, monkeypatch):
    (folder / "mine.py").write_text("def score(outputs, labels):\n    return (outputs[0][:, 0] * 0.0) - 2.0\n")
    monkeypatch.syspath_prepend(str(folder))
    contract = new_contract(proposal(folder, metric="mine:score"), folder / "contract.toml")
    assert contract.limits.metric_min == -2.02
    assert contract.limits.metric_max_drop is None


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"name": "My Model"}, InvalidFileError, r"contract.toml would have, in line \d+: model.name"),
        ({"evaluation": "calibration.npz"}, DatasetError, "has no labels"),
        ({"evaluation": "missing.npz"}, InvalidFileError, "missing.npz"),
        ({"metric": "top3"}, UnknownNameError, "top3"),
        ({"recipe": "int3"}, UnknownNameError, "int3"),
        ({"targets": ("rpi9",)}, UnknownNameError, "rpi9"),
    ],
)
def test_a_contract_that_would_not_hold_is_not_written(folder, changes, kind, message):
    with pytest.raises(kind, match=message):
        new_contract(proposal(folder, **changes), folder / "contract.toml")
    assert not (folder / "contract.toml").exists()


def test_what_lies_elsewhere_cannot_be_handed_over(folder):
    (folder / "sub").mkdir()
    with pytest.raises(InvalidFileError, match="does not lie in the contract's folder"):
        new_contract(proposal(folder), folder / "sub" / "contract.toml")


def test_nothing_is_written_over(folder):
    (folder / "contract.toml").write_text("mine")
    with pytest.raises(InvalidFileError, match="exists"):
        new_contract(proposal(folder), folder / "contract.toml")
    assert (folder / "contract.toml").read_text() == "mine"


def test_what_is_missing_or_another_is_told(folder):
    contract = new_contract(proposal(folder), folder / "contract.toml")
    assert broken(contract, datetime.date(2031, 1, 1)) == {"model.expires": "ask for a new one"}

    np.savez(folder / "evaluation.npz", x=np.zeros((4, 3), np.float32), labels=np.zeros(4, np.int64))
    assert set(broken(contract)) == {"data.evaluation_sha256"}
    np.savez(folder / "evaluation.npz", z=np.zeros((4, 3), np.float32))
    assert set(broken(contract)) == {"data.evaluation", "data.evaluation_sha256"}
    (folder / "calibration.npz").unlink()
    assert "data.calibration" in broken(contract)

    (folder / "my_Model.onnx").write_bytes(b"no model")
    found = broken(contract)
    assert {"model.sha256", "model.parameters"} <= set(found)
    (folder / "my_Model.onnx").unlink()
    assert "does not exist" in broken(contract)["model.sha256"]


def test_recipe_target_and_metric_have_to_be_known(folder):
    contract = new_contract(proposal(folder), folder / "contract.toml")
    unknown = structs.replace(
        contract,
        optimization=structs.replace(contract.optimization, recipe="int3"),
        data=structs.replace(contract.data, metric="no.module:score"),
        limits=structs.replace(contract.limits, target={"rpi9": contract.limits.target["rpi4"]}),
    )
    assert set(broken(unknown)) == {"data.metric", "optimization.recipe", "limits.target.rpi9"}
    uncalibrated = structs.replace(contract, data=structs.replace(contract.data, calibration=None))
    assert broken(uncalibrated)["optimization.recipe"].startswith("it needs data.calibration")


def test_as_a_user_types_it(folder):
    words = ["contract", "new", "my_Model.onnx", "--evaluation", "evaluation.npz", "--expires", "2030-01-31"]
    made = CliRunner().invoke(cli, words, standalone_mode=False)
    assert made.return_value == 0, made.output
    assert "edgedeploy contract check contract.toml" in made.output
    shown = CliRunner().invoke(cli, ["contract", "show", "contract.toml"], standalone_mode=False)
    assert "model.expires" in shown.output and "my_model" in shown.output and "limits.metric_min" in shown.output
    for extra in ([], ["--json"], ["--junit", "j.xml", "--markdown", "m.md"]):
        checked = CliRunner().invoke(cli, ["contract", "check", "contract.toml", *extra], standalone_mode=False)
        assert checked.return_value == 0, checked.output
    assert "the hand-over holds" in Path("j.xml").read_text()
    Path("evaluation.npz").unlink()
    checked = CliRunner().invoke(cli, ["contract", "check", "contract.toml"], standalone_mode=False)
    assert checked.return_value == 1 and "✗ breaks" in checked.output
    again = CliRunner().invoke(cli, words, standalone_mode=False)
    assert isinstance(again.exception, EdgedeployError)


def test_several_are_checked_in_one_call(folder, tmp_path):
    """As pre-commit does: all files that changed at once."""
    paths = [small_contract(tmp_path / name, name) for name in ("good", "bad")]
    paths[1].with_name("evaluation.npz").unlink()
    words = ["contract", "check", *map(str, paths)]
    done = CliRunner().invoke(cli, [*words, "--json", "--junit", "j.xml"], standalone_mode=False)
    assert done.return_value == 1
    assert [verdict["outcome"] for verdict in json.loads(done.stdout)] == ["holds", "breaks"]
    assert [suite.failures for suite in JUnitXml.fromfile("j.xml")] == [0, 2]
    paths[1].unlink()
    with pytest.raises(InvalidFileError, match="does not exist"):
        CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)


EVIL = "open('was run', 'w').close()\ndef score(outputs, labels):\n    return labels == outputs[0].argmax(axis=1)\n"


@pytest.fixture
def naming_code(folder):
    """A contract that names code as its metric and its calibration data, which would leave a trace if it were run."""
    contract = new_contract(proposal(folder), folder / "contract.toml")
    (folder / "evil_code.py").write_text(EVIL + "def feeds():\n    yield {}\n")
    text = (folder / "contract.toml").read_text()
    text = text.replace(f'calibration = "{contract.data.calibration}"', 'calibration = "evil_code:feeds"')
    (folder / "contract.toml").write_text(text.replace('metric = "top1"', 'metric = "evil_code:score"'))
    yield folder
    sys.modules.pop("evil_code", None)


def test_code_that_a_contract_names_is_not_run_unasked(naming_code):
    contract = load_contract(naming_code / "contract.toml")
    verdict = check_hand_over(contract)
    lines = {line.key: line for line in verdict.lines}
    for key in ("data.metric", "data.calibration"):
        assert lines[key].outcome is Outcome.NOT_DETERMINED and "--allow-code" in lines[key].reason
    assert verdict.outcome is Outcome.NOT_DETERMINED
    with pytest.raises(UnsupportedError, match=r"names Python code: data.metric = evil_code:score, data.calibration"):
        ship(contract, f"local:{naming_code / 'device'}")
    for words in (["contract", "check"], ["ship", "--to", f"local:{naming_code / 'device'}"]):
        result = CliRunner().invoke(cli, [*words, "contract.toml"], standalone_mode=False)
        assert result.return_value == 1 or isinstance(result.exception, UnsupportedError)
    assert not (naming_code / "was run").exists()
    assert not (naming_code / "device").exists()


@pytest.mark.parametrize("inside", [True, False])
def test_a_head_that_is_code_is_not_run_unasked_wherever_it_is_named(folder, inside):
    """One in a data.toml was imported where the contract's own was refused."""
    new_contract(proposal(folder), folder / "contract.toml")
    (folder / "evil_head.py").write_text(EVIL)
    text = (folder / "contract.toml").read_text().replace('metric = "top1"', 'metric = "map"')
    if inside:
        (folder / "data.toml").write_text('path = "evaluation.npz"\nhead = { kind = "evil_head:score" }\n')
        text = text.replace('"evaluation.npz"', '"data.toml"')
    else:
        text += '[data.head]\nkind = "evil_head:score"\n'
    (folder / "contract.toml").write_text(text)
    contract = load_contract(folder / "contract.toml")
    lines = {line.key: line for line in check_hand_over(contract).lines}
    assert lines["data.metric"].outcome is Outcome.NOT_DETERMINED
    with pytest.raises(UnsupportedError, match=r"names Python code: data\.(evaluation\.)?head\.kind = evil_head:score"):
        ship(contract, f"local:{folder / 'device'}")
    assert not (folder / "was run").exists()


def test_code_that_a_contract_names_is_run_when_it_is_allowed(naming_code):
    verdict = check_hand_over(load_contract(naming_code / "contract.toml"), allow_code=True)
    assert {line.key: line.outcome for line in verdict.lines}["data.metric"] is Outcome.HOLDS
    assert (naming_code / "was run").exists()


def test_a_file_that_is_named_like_code_is_a_file(folder):
    contract = new_contract(proposal(folder), folder / "contract.toml")
    (folder / "data.npz:x").write_bytes((folder / "evaluation.npz").read_bytes())
    renamed = structs.replace(contract, data=structs.replace(contract.data, evaluation="data.npz:x"))
    assert named_code(renamed) == {}
