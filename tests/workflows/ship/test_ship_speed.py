"""What `ship` makes of the speed that a device judges itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from loopback_sshd import serve

from edgedeploy.foundation.progress import SILENT
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.search.settings import SearchSettings
from edgedeploy.values.contract import Contract, ContractData, ContractModel, Limits, Outcome, Verdict
from edgedeploy.values.speed import SpeedFigure
from edgedeploy.workflows.judges import NOBODY
from edgedeploy.workflows.ship.request import ShipRequest
from edgedeploy.workflows.ship.speed import judged_on_device, with_speed

MODEL = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}, float z = {0}> {
    a = MatMul(x, w) y = Add(a, z) }"""
HOLDING = Verdict(contract="m 1", lines=(), outcome=Outcome.HOLDS)


def ship_request(model: Path, evaluation: str, device: str) -> ShipRequest:
    contract = Contract(
        schema=1,
        model=ContractModel(name="m", version="1", framework="f", file="m.onnx", sha256="0" * 64),
        data=ContractData(evaluation=evaluation),
        limits=Limits(),
    )
    return ShipRequest(
        contract=contract, model=model, calibration=None, evaluation=evaluation, metric=None, head=None, max_drop=1.0,
        recipe=load_recipe("fold"), search_settings=SearchSettings(), allowed=(), device=device, target=None,
        backend="auto", profile="smoke", strict=False, sign_key=None,
    )  # fmt: skip


def figure(low: float, **changes: object) -> SpeedFigure:
    settings = {"currency": "device time", "where": "ssh://pi, 1 thread", "slower": low > 1.03, **changes}
    return SpeedFigure(
        unit="ms", source=1.0, result=low + 0.02, ratio=low + 0.02, low=low, high=low + 0.04, limit=1.03, samples=15,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip


def test_what_is_slower_on_the_device_breaks() -> None:
    verdict = with_speed(HOLDING, figure(1.0301), ())
    assert verdict.outcome is Outcome.BREAKS
    (line,) = verdict.lines
    assert line.outcome is Outcome.BREAKS
    assert "1.0301 to 1.07, over 1.03; ssh://pi, 1 thread" in line.reason


@pytest.mark.parametrize(("low", "allowed"), [(0.5, ()), (1.02, ()), (1.5, ("slower",))])
def test_what_is_not_surely_slower_or_is_allowed_holds(low: float, allowed: tuple[str, ...]) -> None:
    verdict = with_speed(HOLDING, figure(low), allowed)  # type: ignore[arg-type]
    assert verdict.outcome is Outcome.HOLDS
    assert [line.outcome for line in verdict.lines] == [Outcome.HOLDS]


def test_what_the_guard_judged_is_no_line_of_the_verdict() -> None:
    assert with_speed(HOLDING, figure(1.5, currency="host time"), ()) is HOLDING
    assert with_speed(HOLDING, None, ()) is HOLDING


@pytest.mark.device
@pytest.mark.slow
def test_a_device_over_ssh_judges_and_the_evidence_says_which(make_release, tmp_path) -> None:
    """It is judged over a real connection, by the clock of the device."""
    model, result = tmp_path / "m.onnx", tmp_path / "o.onnx"
    model.write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    np.savez(tmp_path / "e.npz", x=np.ones((3, 3), np.float32))
    evidence = optimize(
        model, load_recipe("fold"), result, evaluation=str(tmp_path / "e.npz"), speed_unjudged=NOBODY.unjudged
    )
    assert evidence.accepted and evidence.speed_unjudged == NOBODY.unjudged
    assert f"speed was not judged: {NOBODY.unjudged}" in evidence.reasons
    with serve(tmp_path / "sshd", tmp_path / "device home") as server, server.connect() as device:
        request = ship_request(model, str(tmp_path / "e.npz"), device.address)
        found = judged_on_device(request, result, evidence, device, make_release(), SILENT)
    assert found.speed is not None and found.speed.currency == "device time"
    assert found.speed.where.startswith(device.address)
    assert found.speed_unjudged == "" and not any("not judged: " in reason for reason in found.reasons)


@pytest.mark.slow
def test_a_device_that_cannot_judge_says_why(local, make_release, tmp_path) -> None:
    model, result = tmp_path / "m.onnx", tmp_path / "o.onnx"
    model.write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    np.savez(tmp_path / "e.npz", x=np.ones((3, 3), np.float32))
    evidence = optimize(model, load_recipe("fold"), result, evaluation=str(tmp_path / "e.npz"))
    result.write_bytes(b"no model")
    request = ship_request(model, str(tmp_path / "e.npz"), "ssh://pi")
    found = judged_on_device(request, result, evidence, local, make_release(), SILENT)
    assert found.speed is None and found.speed_unjudged
    assert f"speed was not judged: {found.speed_unjudged}" in found.reasons
    virtual = judged_on_device(request, result, evidence, local, make_release(), SILENT, emulated=True)
    assert virtual.speed is None and "ssh://pi is emulated" in virtual.speed_unjudged
    here = ship_request(model, str(tmp_path / "e.npz"), "local:")
    assert judged_on_device(here, result, evidence, local, make_release(), SILENT) is evidence
