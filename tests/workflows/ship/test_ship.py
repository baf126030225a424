"""The whole way on this machine, with the demo's real model: `local:` is a device like any other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.handed_over import hand_over
from support.small_contract import small_contract

from edgedeploy import api
from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import DeviceError, IntegrityError, InvalidFileError, UnknownNameError
from edgedeploy.values.contract import Outcome
from edgedeploy.values.shipment import Shipment

pytestmark = pytest.mark.keeps_cache


def test_contract_holds_and_the_report_is_there(tmp_path: Path) -> None:
    contract = hand_over(tmp_path / "in")
    words = [
        "ship",
        str(contract),
        "--to",
        f"local:{tmp_path / 'device'}",
        "--report",
        str(tmp_path / "report"),
        "--json",
    ]
    result = CliRunner().invoke(cli, [*words, "--work", str(tmp_path / "work")], standalone_mode=False)
    assert result.return_value == 0, result.output
    shipment = json.loads(result.stdout)
    assert shipment["verdict"]["outcome"] == "holds"
    assert shipment["evidence"]["result"]["size_bytes"] < 0.55 * shipment["evidence"]["source"]["size_bytes"]
    assert shipment["measurement"]["conditions"]["emulated"] is False
    assert shipment["measurement"]["timing"]["clock"] == "device"
    assert shipment["measurement"]["accuracy"]["samples"] == 80
    assert json.loads((tmp_path / "report/report.json").read_text()) == shipment
    assert "The contract holds" in (tmp_path / "report/index.html").read_text()
    with api.connect(f"local:{tmp_path / 'device'}") as device:
        assert api.current_release(device).id == shipment["release"]["id"]
    assert api.open_bundle(tmp_path / "work/text-direction.bundle").manifest.version == "2.0"
    assert api.inspect(tmp_path / "work/text-direction.onnx").opset >= 13


def test_release_that_breaks_its_contract_is_taken_back_if_there_is_one_before(tmp_path: Path) -> None:
    device = f"local:{tmp_path / 'device'}"

    def ship(version: str, limits: str) -> Shipment:
        contract = small_contract(tmp_path / version, version=version, limits=limits)
        return api.ship(api.load_contract(contract), device, backend="native")

    first = ship("1", "size_max_bytes = 1000")
    assert first.verdict and first.verdict.outcome is Outcome.BREAKS
    assert first.release and first.release.current
    assert "no release before it" in first.remarks[0]

    second = ship("2", "size_max_bytes = 300_000_000")
    assert second.verdict and second.verdict.outcome is Outcome.HOLDS
    assert second.release

    third = ship("3", "size_max_bytes = 1000")
    assert third.verdict and third.verdict.outcome is Outcome.BREAKS
    assert third.release and not third.release.current
    assert second.release.id in third.remarks[0]
    with api.connect(device) as connection:
        assert api.current_release(connection).id == second.release.id


def test_refused_model_is_not_sent(tmp_path: Path) -> None:
    contract = hand_over(tmp_path / "in", calibration_scale=0.001)
    words = [
        "ship",
        str(contract),
        "--to",
        f"local:{tmp_path / 'device'}",
        "--report",
        str(tmp_path / "report"),
        "--json",
    ]
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    assert result.return_value == 1, result.output
    shipment = json.loads(result.stdout)
    assert shipment["evidence"]["accepted"] is False
    assert shipment["bundle"] is None
    assert not (tmp_path / "device/.edgedeploy").exists()
    assert "Refused" in (tmp_path / "report/index.html").read_text()


def test_model_that_is_not_the_contracts_is_refused_first(tmp_path: Path) -> None:
    contract = hand_over(tmp_path / "in")
    (tmp_path / "in/model.onnx").unlink()
    (tmp_path / "in/model.onnx").write_bytes(b"another one")
    with pytest.raises(IntegrityError, match="not the model that the contract names"):
        api.ship(api.load_contract(contract), f"local:{tmp_path / 'device'}")


def test_contract_that_has_expired_is_refused_first(tmp_path: Path) -> None:
    contract = hand_over(tmp_path / "in")
    text = contract.read_text().replace("[model]", '[model]\nowner = "vision team"\nexpires = 2020-02-29')
    contract.write_text(text)
    with pytest.raises(InvalidFileError, match=r"expired on 2020-02-29\n.*ask vision team for a new one"):
        api.ship(api.load_contract(contract), "ssh://nobody@127.0.0.1:1")


def test_unknown_target_is_known_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no target 'nope'"):
        api.ship(api.load_contract(hand_over(tmp_path / "in")), f"local:{tmp_path / 'device'}", target="nope")


def test_signed_on_the_way_to_a_device_that_takes_nothing_else(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    store = tmp_path / "device/.edgedeploy"
    store.mkdir(parents=True)
    (store / "allowed_signers").write_text(f"release@example.com {key.with_suffix('.pub').read_text()}")
    contract = api.load_contract(small_contract(tmp_path / "in"))
    device = f"local:{tmp_path / 'device'}"
    with pytest.raises(InvalidFileError, match="no key"):
        api.ship(contract, device, sign_key=tmp_path / "none", backend="native")
    shipped = api.ship(contract, device, sign_key=key, backend="native")
    assert shipped.release and shipped.release.current
    with pytest.raises(DeviceError, match="signed bundles only"):
        api.ship(contract, device, backend="native")
