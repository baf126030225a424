"""One name on a device is one model: what takes or gives other tensors is not pushed over it unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs
from support.device_store import store, tree

from edgedeploy.bundle.build import open_bundle
from edgedeploy.cli.main import cli
from edgedeploy.deploy.push import push
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Bundle, ContractReference, Source
from edgedeploy.values.model import TensorFacts

pytestmark = pytest.mark.slow

IMAGE = TensorFacts(name="x", dtype="float32", shape=(1, 3, 32, 32))
SCORES = TensorFacts(name="y", dtype="float32", shape=(1, 10))


@pytest.fixture
def of_model(make_bundle):
    """A maker of bundles of models with these tensors."""
    facts = make_bundle(version="0").manifest.model

    def make(version: str, *inputs: TensorFacts, outputs: tuple[TensorFacts, ...] = (SCORES,), **changes) -> Bundle:
        sha256 = f"{int(version):064x}"
        model = structs.replace(facts, inputs=inputs, outputs=outputs, sha256=sha256)
        return make_bundle(version=version, **({"model": model} | changes))

    return make


def shaped(*shape: int | str, dtype: str = "float32") -> TensorFacts:
    return structs.replace(IMAGE, shape=shape, dtype=dtype)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((shaped(1, 3, 64, 64),), "input 'x' is float32 1x3x32x32 there, and float32 1x3x64x64 in the bundle"),
        ((shaped(1, 3, 32),), "float32 1x3x32 in the bundle"),
        ((shaped(1, 3, 32, 32, dtype="uint8"),), "uint8 1x3x32x32 in the bundle"),
        ((structs.replace(IMAGE, name="image"),), "input 'x' is missing in the bundle; input 'image' is new"),
        ((IMAGE, structs.replace(IMAGE, name="mask")), "input 'mask' is new"),
    ],
)
def test_another_model_is_refused_before_anything_is_sent(of_model, device: LocalConnection, home: Path, inputs, words):
    push(of_model("1", IMAGE), device)
    before = tree(store(home) / "releases")
    other = of_model("2", *inputs)
    with pytest.raises(DeviceError, match="another model of the name 'model'") as caught:
        push(other, device)
    assert words in caught.value.why
    assert "--name" in caught.value.hint
    assert "--new-interface" in caught.value.hint
    assert tree(store(home) / "releases") == before
    assert push(other, device, new_interface=True).activated


def test_other_outputs_are_another_model_too(of_model, device: LocalConnection):
    push(of_model("1", IMAGE), device)
    with pytest.raises(DeviceError, match="another model") as caught:
        push(of_model("2", IMAGE, outputs=(structs.replace(SCORES, shape=(1, 1000)),)), device)
    assert "output 'y' is float32 1x10 there, and float32 1x1000 in the bundle" in caught.value.why


@pytest.mark.parametrize("shape", [("N", 3, 32, 32), (1, 3, "?", "?"), (1, 3, 32, 32)])
def test_a_model_that_was_trained_anew_or_opened_a_dimension_is_the_same(of_model, device: LocalConnection, shape):
    push(of_model("1", IMAGE), device)
    assert push(of_model("2", shaped(*shape)), device).activated


def test_what_is_made_from_the_same_file_is_the_same(of_model, device: LocalConnection):
    push(of_model("1", shaped("N", 3, 64, 64)), device)
    source = Source(sha256=f"{1:064x}", size_bytes=1, parameters=1, recipe="mine", evaluation_sha256=None, metric=None)
    assert push(of_model("2", IMAGE, source=source), device).activated


def test_a_contract_names_its_model(of_model, device: LocalConnection):
    push(of_model("1", shaped(1, 3, 64, 64)), device)
    contract = ContractReference(file="c.toml", sha256="ab" * 32, owner="us")
    assert push(of_model("2", IMAGE, contract=contract), device).activated


def test_other_names_do_not_count(of_model, device: LocalConnection):
    push(of_model("1", shaped(1, 3, 64, 64), name="other"), device)
    assert push(of_model("2", IMAGE), device).activated


def test_as_a_user_types_it(of_model, device: LocalConnection, home: Path, monkeypatch):
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    first, second = of_model("1", IMAGE), of_model("2", shaped(1, 3, 64, 64))
    assert CliRunner().invoke(cli, ["push", str(first.path), "--to", "local:"]).exit_code == 0
    refused = CliRunner().invoke(cli, ["push", str(second.path), "--to", "local:"])
    assert isinstance(refused.exception, DeviceError)
    assert f"edgedeploy push '{second.path}' --to local: --new-interface" in refused.exception.hint
    allowed = CliRunner().invoke(cli, ["push", str(second.path), "--to", "local:", "--new-interface"])
    assert allowed.exit_code == 0, allowed.output
    assert open_bundle(second.path).manifest.version == "2"
