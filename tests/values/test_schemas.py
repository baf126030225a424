"""The JSON Schemas that ship are those of today; what edgedeploy writes holds to them, and what it refuses does not."""

from __future__ import annotations

import importlib.resources
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, FormatChecker
from msgspec import structs
from support import sample_shipment

from edgedeploy.bundle.build import encode_manifest
from edgedeploy.cli.main import cli
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.values.bundle import MANIFEST_NAME
from edgedeploy.values.schemas import NAMES, json_schema, schema_bytes, write_schemas
from edgedeploy.verdict.baseline import baseline_of

ROOT = Path(__file__).parents[2]
VALUES = importlib.resources.files("edgedeploy") / "values"


def validator(name: str) -> Draft202012Validator:
    content = json.loads((VALUES / f"{name}.schema.json").read_bytes())
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content, format_checker=FormatChecker())


def errors(name: str, document: Any) -> list[str]:
    return [error.message for error in validator(name).iter_errors(document)]


def plain(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def changed(document: Any, where: tuple[str | int, ...], value: object) -> Any:
    """The document with another value at one place."""
    place = document
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return document


def contract() -> Any:
    return msgspec.to_builtins(tomllib.loads((ROOT / "edgedeploy/workflows/demo/contract.toml").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_they_are_up_to_date(name):
    shipped = (VALUES / f"{name}.schema.json").read_bytes()
    assert shipped == schema_bytes(name), "a format changed: python -m edgedeploy.values.schemas"


@pytest.mark.parametrize("name", NAMES)
def test_no_description_has_the_indentation_of_its_source(name):
    """Python 3.13 takes it out of docstrings, those before it do not."""
    for definition in json_schema(name)["$defs"].values():
        assert "\n " not in definition.get("description", "")


def test_the_command_prints_each_that_there_is():
    shipped = {path.name.removesuffix(".schema.json") for path in VALUES.iterdir() if path.name.endswith(".json")}
    assert shipped == set(NAMES)
    for name in NAMES:
        printed = CliRunner().invoke(cli, ["schema", name], standalone_mode=False)
        assert printed.stdout.encode() == (VALUES / f"{name}.schema.json").read_bytes()


def test_bundle_schema_prints_that_of_manifests():
    printed = CliRunner().invoke(cli, ["bundle", "schema"], standalone_mode=False)
    assert printed.stdout.encode() == (VALUES / "manifest.schema.json").read_bytes()


@pytest.mark.slow
def test_all_are_written_by_one_command(tmp_path):
    write_schemas(tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.schema.json").read_bytes() == (VALUES / f"{name}.schema.json").read_bytes()


def test_manifests_hold(make_bundle):
    bundle = make_bundle(files={"golden/0000.npz": b"golden"})
    manifest = json.loads((bundle.path / MANIFEST_NAME).read_bytes())
    assert errors("manifest", manifest) == []
    assert json.loads(encode_manifest(bundle.manifest)) == manifest


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("name",), "Not A Name"),
        (("schema",), 2),
        (("files", 0, "sha256"), "0" * 63),
        (("files", 0, "size_bytes"), -1),
        (("runtime", "backend"), None),
        (("unknown",), 1),
    ],
)
def test_manifests_that_are_refused_do_not(make_bundle, where, value):
    manifest = json.loads((make_bundle().path / MANIFEST_NAME).read_bytes())
    assert errors("manifest", changed(manifest, where, value))


def test_contracts_hold():
    document = contract()
    document["model"] |= {"owner": "vision team", "expires": "2030-12-31"}
    document["limits"]["target"]["rpi4"]["instructions_max"] = 25_000_000
    assert errors("contract", document) == []


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema",), 2),
        (("folder",), "/"),
        (("model", "sha256"), "A" * 64),
        (("model", "name"), "../up"),
        (("model", "owner"), ""),
        (("limits", "metrik_min"), 0.9),
        (("limits", "target", "rpi4", "instructions_max"), 1.5),
        (("optimization", "allow"), ["anything"]),
    ],
)
def test_contracts_that_are_refused_do_not(where, value):
    assert errors("contract", changed(contract(), where, value))


@pytest.mark.slow
def test_measurements_verdicts_and_reports_hold():
    shipped = sample_shipment.shipment()
    assert shipped.measurement is not None
    counted = structs.replace(shipped.measurement, timing=None, count=instruction_count(9, [9], [8, 8, 7]))
    for measured in (shipped.measurement, counted):
        assert errors("measurement", plain(measured)) == []
        assert errors("baseline", plain(baseline_of([measured]))) == []
    assert errors("verdict", plain(shipped.verdict)) == []
    for each in (shipped, sample_shipment.refused()):
        assert errors("report", plain(each)) == []


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("measurement", {}),
        ("baseline", {"schema": 2, "entries": []}),
        ("baseline", {"schema": 1, "entries": [{"name": "x"}]}),
        ("verdict", {"contract": "a 1", "lines": [], "outcome": "perhaps"}),
        ("report", []),
    ],
)
def test_others_do_not(name, document):
    assert errors(name, document)
