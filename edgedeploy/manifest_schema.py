"""The JSON Schema of a bundle's `manifest.json`, for those who read bundles without edgedeploy.

It is made from the value that edgedeploy itself reads manifests into. `values/manifest.schema.json` is this, written
down, so that it ships with the package and a change of the format is seen as one; a test holds the two together.

    python -m edgedeploy.manifest_schema >edgedeploy/values/manifest.schema.json
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from edgedeploy.safe_paths import NAME_PATTERN, SHA256_PATTERN
from edgedeploy.values import bundle, model, quality
from edgedeploy.values.bundle import Manifest

Json = dict[str, Any]

_SHA256 = {"pattern": f"^{SHA256_PATTERN}$"}
_COUNT = {"minimum": 0}
# What `edgedeploy.compile.bundle` checks beyond the types, where a schema can say it: by value and field.
_RULES: dict[str, dict[str, Json]] = {
    "Manifest": {
        "schema": {"const": 1},
        "name": {"pattern": f"^{NAME_PATTERN}$"},
        "version": {"pattern": f"^{NAME_PATTERN}$"},
        "golden_samples": _COUNT,
    },
    "FileEntry": {"sha256": _SHA256, "size_bytes": _COUNT},
    "ModelFacts": {"sha256": _SHA256, "size_bytes": _COUNT},
    "Source": {"sha256": _SHA256, "size_bytes": _COUNT},
}


def manifest_schema() -> Json:
    """The schema, JSON Schema 2020-12 (https://json-schema.org/draft/2020-12)."""
    schema = msgspec.json.schema(Manifest)
    for name, field, words in _described():
        if field in schema["$defs"].get(name, {}).get("properties", {}):
            described = schema["$defs"][name]["properties"][field]
            schema["$defs"][name]["properties"][field] = {"description": words} | described
    for name, rules in _RULES.items():
        for field, rule in rules.items():
            schema["$defs"][name]["properties"][field] |= rule
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://edgedeploy/manifest.schema.json",
        "title": "manifest.json of an edgedeploy bundle",
    }
    return head | schema


def _described() -> Iterator[tuple[str, str, str]]:
    """Value, field, and what the string under the field says of it."""
    for module in (bundle, model, quality):
        for value in ast.parse(inspect.getsource(module)).body:
            if not isinstance(value, ast.ClassDef):
                continue
            for field, words in zip(value.body, value.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    match words:
                        case ast.Expr(value=ast.Constant(value=str(text))):
                            yield value.name, field.target.id, " ".join(text.split())


def schema_bytes() -> bytes:
    """The schema as it is written down."""
    return json.dumps(manifest_schema(), indent=1, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    import sys

    sys.stdout.buffer.write(schema_bytes())
