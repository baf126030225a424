"""The JSON Schema that ships is the one of today, and manifests hold to it."""

from __future__ import annotations

import importlib.resources
import json

import pytest
from jsonschema import Draft202012Validator

from edgedeploy.bundle.build import encode_manifest
from edgedeploy.values.bundle import MANIFEST_NAME
from edgedeploy.values.manifest_schema import schema_bytes


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    shipped = importlib.resources.files("edgedeploy") / "values" / "manifest.schema.json"
    content = json.loads(shipped.read_bytes())
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def test_it_is_up_to_date():
    shipped = importlib.resources.files("edgedeploy") / "values" / "manifest.schema.json"
    command = "python -m edgedeploy.values.manifest_schema >edgedeploy/values/manifest.schema.json"
    assert shipped.read_bytes() == schema_bytes(), f"the manifest's format changed: {command}"


def test_manifests_hold_to_it(schema, make_bundle):
    bundle = make_bundle(files={"golden/0000.npz": b"golden"})
    manifest = json.loads((bundle.path / MANIFEST_NAME).read_bytes())
    assert [error.message for error in schema.iter_errors(manifest)] == []
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
def test_others_do_not(schema, make_bundle, where, value):
    manifest = json.loads((make_bundle().path / MANIFEST_NAME).read_bytes())
    place = manifest
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    assert list(schema.iter_errors(manifest))
