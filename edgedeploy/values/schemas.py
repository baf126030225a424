"""JSON Schemas of what edgedeploy reads and prints, for those who read it without edgedeploy.

They are made from the values that edgedeploy itself reads and writes. `values/NAME.schema.json` is each, written down,
so that it ships with the package and a change of a format is seen as one; a test holds the two together.

    python -m edgedeploy.values.schemas
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Struct

from edgedeploy.foundation.validation import NAME_PATTERN, SHA256_PATTERN
from edgedeploy.values import (
    baseline,
    bundle,
    contract,
    data,
    evidence,
    gate,
    head,
    measurement,
    model,
    profile,
    quality,
    search,
    shipment,
    smoke,
    speed,
)
from edgedeploy.values.baseline import Baseline
from edgedeploy.values.bundle import Manifest
from edgedeploy.values.contract import Contract, Verdict
from edgedeploy.values.data import DataSource
from edgedeploy.values.gate import Gate
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.shipment import Shipment
from edgedeploy.values.smoke import Smoke

Json = dict[str, Any]
Rules = dict[str, dict[str, Json]]
"""Parts of a schema, by value and field."""

_MODULES = (
    baseline,
    bundle,
    contract,
    data,
    evidence,
    gate,
    head,
    measurement,
    model,
    profile,
    quality,
    search,
    shipment,
    smoke,
    speed,
)
_SHA256 = {"pattern": f"^{SHA256_PATTERN}$"}
_NAME = {"pattern": f"^{NAME_PATTERN}$"}
_COUNT = {"minimum": 0}
_POSITIVE = {"exclusiveMinimum": 0}
_FIRST = {"const": 1}


class NamedSchema(Struct, frozen=True):
    """What a schema is made from."""

    kind: type
    """The value that edgedeploy reads or writes."""
    title: str
    rules: Rules
    """What a reader checks beyond the types, where a schema can say it: of this value and those in it."""


_MEASUREMENT_RULES: Rules = {
    "Measurement": {"schema": _FIRST},
    "MeasuredRelease": {"model_sha256": _SHA256, "model_size_bytes": _COUNT, "bundle_size_bytes": _COUNT},
}
_SCHEMAS = {
    "contract": NamedSchema(
        Contract,
        "a contract file, TOML taken as JSON",
        {
            "Contract": {"schema": _FIRST},
            "ContractModel": {
                "name": _NAME,
                "version": _NAME,
                "sha256": _SHA256,
                "owner": {"minLength": 1, "maxLength": 200},
            },
        },
    ),
    "data": NamedSchema(DataSource, "a dataset as it is declared (data.toml), TOML taken as JSON", {}),
    "manifest": NamedSchema(
        Manifest,
        "manifest.json of an edgedeploy bundle",
        {
            "Manifest": {"schema": _FIRST, "name": _NAME, "version": _NAME, "golden_samples": _COUNT},
            "FileEntry": {"sha256": _SHA256, "size_bytes": _COUNT},
            "ModelFacts": {"sha256": _SHA256, "size_bytes": _COUNT},
            "Source": {"sha256": _SHA256, "size_bytes": _COUNT},
            "ContractReference": {"sha256": _SHA256},
        },
    ),
    "measurement": NamedSchema(
        Measurement, "a measurement, as `edgedeploy bench` and `test` write it", _MEASUREMENT_RULES
    ),
    "verdict": NamedSchema(Verdict, "a verdict, as `edgedeploy check --json` prints it", {}),
    "baseline": NamedSchema(
        Baseline,
        "a baseline file",
        {
            "Baseline": {"schema": _FIRST},
            "BaselineEntry": {"model_size_bytes": _POSITIVE},
            "CountedRun": dict.fromkeys(("median", "low", "high"), _POSITIVE),
        },
    ),
    "report": NamedSchema(
        Shipment, "report.json of `edgedeploy ship`", {"Shipment": {"schema": _FIRST}, **_MEASUREMENT_RULES}
    ),
    "gate": NamedSchema(
        Gate,
        "gate.json of `edgedeploy gate`",
        {"Gate": {"schema": _FIRST, "seconds": _COUNT}, "GateCell": {"seconds": _COUNT}},
    ),
    "smoke": NamedSchema(
        Smoke,
        "a smoke test, as `edgedeploy smoke --json` prints it and a kit writes it",
        {"Smoke": {"schema": _FIRST}, "SmokeFigures": {"n": _COUNT}},
    ),
}
NAMES = tuple(sorted(_SCHEMAS))
"""Of all schemas, as `edgedeploy schema` takes them."""


def json_schema(name: str) -> Json:
    """Make the schema called `name`, one of `NAMES`: JSON Schema 2020-12 (https://json-schema.org/draft/2020-12)."""
    named = _SCHEMAS[name]
    # Of what msgspec does not know there are paths only.
    schema = msgspec.json.schema(named.kind, schema_hook=lambda _: {"type": "string"})
    definitions = schema["$defs"]
    _describe(definitions)
    for value, fields in named.rules.items():
        for field, rule in fields.items():
            _restrict(definitions[value]["properties"][field], rule)
    if named.kind is Contract:
        # Where the file lies and what it is, which no file says of itself.
        for key in ("folder", "reference"):
            definitions["Contract"]["properties"].pop(key)
        definitions.pop("ContractReference")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://edgedeploy/{name}.schema.json",
        "title": named.title,
    }
    return head | schema


def schema_bytes(name: str) -> bytes:
    """Make the schema called `name` as it is written down."""
    return json.dumps(json_schema(name), indent=1, ensure_ascii=False).encode() + b"\n"


def write_schemas(folder: Path) -> None:
    """Write `NAME.schema.json` of each schema into a folder."""
    for name in NAMES:
        (folder / f"{name}.schema.json").write_bytes(schema_bytes(name))


def _describe(definitions: dict[str, Json]) -> None:
    """Add to each field what the string under it says of it, and take the indentation out of what is there: before
    Python 3.13 a docstring has that of its source."""
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    for value, field, description in _descriptions(_MODULES):
        properties = definitions.get(value, {}).get("properties", {})
        if field in properties:
            properties[field] = {"description": description} | properties[field]


def _restrict(schema: Json, rule: Json) -> None:
    """Add a rule for numbers or text to a field: where null may stand instead, to the other branch."""
    for branch in schema.get("anyOf", [schema]):
        if branch.get("type") != "null":
            branch |= rule


def _descriptions(modules: tuple[ModuleType, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield value, field, and what the string under the field says of it."""
    for module in modules:
        for value in ast.parse(inspect.getsource(module)).body:
            if not isinstance(value, ast.ClassDef):
                continue
            for field, words in zip(value.body, value.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    match words:
                        case ast.Expr(value=ast.Constant(value=str(text))):
                            name = _encoded_name(getattr(module, value.name), field.target.id)
                            yield value.name, name, " ".join(text.split())


def _encoded_name(kind: type, field: str) -> str:
    """Return what a field is called in JSON: names there do not change when ours do."""
    if not issubclass(kind, msgspec.Struct):
        return field
    return next((each.encode_name for each in msgspec.structs.fields(kind) if each.name == field), field)


if __name__ == "__main__":
    write_schemas(Path(__file__).parent)
