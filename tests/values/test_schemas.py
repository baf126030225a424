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

from edgedeploy.cli.commands.schema import SCHEMAS
from edgedeploy.cli.main import cli
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.values.schemas import NAMES, json_schema, schema_bytes
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


def contract() -> Any:
    return msgspec.to_builtins(tomllib.loads((ROOT / "scripts/demo_contract.toml").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_they_are_up_to_date(name):
    shipped = (VALUES / f"{name}.schema.json").read_bytes()
    assert shipped == schema_bytes(json_schema(name)), "a format changed: python -m edgedeploy.values.schemas"


def test_the_command_prints_each_that_there_is():
    assert {path.name.removesuffix(".schema.json") for path in VALUES.iterdir() if path.name.endswith(".json")} == set(
        SCHEMAS
    )
    for name in SCHEMAS:
        printed = CliRunner().invoke(cli, ["schema", name], standalone_mode=False)
        assert printed.stdout.encode() == (VALUES / f"{name}.schema.json").read_bytes()


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
    document = contract()
    place = document
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    assert errors("contract", document)


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
