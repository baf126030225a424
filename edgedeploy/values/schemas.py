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

from edgedeploy.foundation.validation import NAME_PATTERN, SHA256_PATTERN
from edgedeploy.values import (
    baseline,
    bundle,
    contract,
    evidence,
    measurement,
    model,
    quality,
    search,
    shipment,
    smoke,
    speed,
)
from edgedeploy.values.baseline import Baseline
from edgedeploy.values.contract import Contract, Verdict
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.shipment import Shipment
from edgedeploy.values.smoke import Smoke

Json = dict[str, Any]
Rules = dict[str, dict[str, Json]]
"""What is checked beyond the types, where a schema can say it: by value and field."""

NAMES = {
    # name: (value, what it is the schema of)
    "contract": (Contract, "a contract file, TOML taken as JSON"),
    "measurement": (Measurement, "a measurement, as `edgedeploy bench` and `test` write it"),
    "verdict": (Verdict, "a verdict, as `edgedeploy check --json` prints it"),
    "baseline": (Baseline, "a baseline file"),
    "report": (Shipment, "report.json of `edgedeploy ship`"),
    "smoke": (Smoke, "a smoke test, as `edgedeploy smoke --json` prints it and a kit writes it"),
}
_MODULES = (baseline, bundle, contract, evidence, measurement, model, quality, search, shipment, smoke, speed)
_SHA256 = {"pattern": f"^{SHA256_PATTERN}$"}
_NAME = {"pattern": f"^{NAME_PATTERN}$"}
_COUNT = {"minimum": 0}
_FIRST = {"const": 1}
_RULES: Rules = {
    "Contract": {"schema": _FIRST},
    "ContractModel": {"name": _NAME, "version": _NAME, "sha256": _SHA256, "owner": {"minLength": 1, "maxLength": 200}},
    "Measurement": {"schema": _FIRST},
    "MeasuredRelease": {"model_sha256": _SHA256, "model_size_bytes": _COUNT, "bundle_size_bytes": _COUNT},
    "Baseline": {"schema": _FIRST},
    "BaselineEntry": {"model_size_bytes": {"exclusiveMinimum": 0}},
    "CountedRun": {name: {"exclusiveMinimum": 0} for name in ("median", "low", "high")},
    "Shipment": {"schema": _FIRST},
    "Smoke": {"schema": _FIRST},
    "SmokeFigures": {"n": _COUNT},
}


def json_schema(name: str) -> Json:
    """The schema called `name`, one of `NAMES`; JSON Schema 2020-12 (https://json-schema.org/draft/2020-12)."""
    kind, what = NAMES[name]
    schema = value_schema(kind, _MODULES, _RULES, name=name, title=what)
    if kind is Contract:
        # Where the file lies and what it is, which no file says of itself.
        for key in ("folder", "reference"):
            schema["$defs"]["Contract"]["properties"].pop(key)
        schema["$defs"].pop("ContractReference")
    return schema


def value_schema(kind: type, modules: tuple[ModuleType, ...], rules: Rules, *, name: str, title: str) -> Json:
    """The schema of a value, with what the strings under its fields say.

    Args:
        modules: where the value and those in it are defined.
    """
    # Of what msgspec does not know there are paths only.
    schema = msgspec.json.schema(kind, schema_hook=lambda _: {"type": "string"})
    definitions = schema["$defs"]
    for value, field, words in _described(modules):
        if field in definitions.get(value, {}).get("properties", {}):
            described = definitions[value]["properties"][field]
            definitions[value]["properties"][field] = {"description": words} | described
    for value, fields in rules.items():
        for field, rule in fields.items():
            if value in definitions:
                _restrict(definitions[value]["properties"][field], rule)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://edgedeploy/{name}.schema.json",
        "title": title,
    }
    return head | schema


def _restrict(schema: Json, rule: Json) -> None:
    """The rule is for numbers or text: where null may stand instead, the rule is of the other branch."""
    for branch in schema.get("anyOf", [schema]):
        if branch.get("type") != "null":
            branch |= rule


def _described(modules: tuple[ModuleType, ...]) -> Iterator[tuple[str, str, str]]:
    """Value, field, and what the string under the field says of it."""
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
    """What a field is called in JSON: names there do not change when ours do."""
    if not issubclass(kind, msgspec.Struct):
        return field
    return next((each.encode_name for each in msgspec.structs.fields(kind) if each.name == field), field)


def schema_bytes(schema: Json) -> bytes:
    """A schema as it is written down."""
    return json.dumps(schema, indent=1, ensure_ascii=False).encode() + b"\n"


def main() -> None:
    """Write all of them down."""
    for name in NAMES:
        (Path(__file__).parent / f"{name}.schema.json").write_bytes(schema_bytes(json_schema(name)))


if __name__ == "__main__":
    main()
