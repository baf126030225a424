"""The JSON Schema of a bundle's `manifest.json`, for those who read bundles without edgedeploy.

It is made from the value that edgedeploy itself reads manifests into. `values/manifest.schema.json` is this, written
down, so that it ships with the package and a change of the format is seen as one; a test holds the two together.

    python -m edgedeploy.values.manifest_schema >edgedeploy/values/manifest.schema.json
"""

from __future__ import annotations

from edgedeploy.foundation.validation import NAME_PATTERN, SHA256_PATTERN
from edgedeploy.values import bundle, model, quality
from edgedeploy.values.bundle import Manifest
from edgedeploy.values.schemas import Json, Rules, value_schema
from edgedeploy.values.schemas import schema_bytes as written

_SHA256 = {"pattern": f"^{SHA256_PATTERN}$"}
_COUNT = {"minimum": 0}
# What `edgedeploy.bundle.build` checks beyond the types, where a schema can say it: by value and field.
_RULES: Rules = {
    "Manifest": {
        "schema": {"const": 1},
        "name": {"pattern": f"^{NAME_PATTERN}$"},
        "version": {"pattern": f"^{NAME_PATTERN}$"},
        "golden_samples": _COUNT,
    },
    "FileEntry": {"sha256": _SHA256, "size_bytes": _COUNT},
    "ModelFacts": {"sha256": _SHA256, "size_bytes": _COUNT},
    "Source": {"sha256": _SHA256, "size_bytes": _COUNT},
    "ContractReference": {"sha256": _SHA256},
}


def manifest_schema() -> Json:
    """The schema, JSON Schema 2020-12 (https://json-schema.org/draft/2020-12)."""
    title = "manifest.json of an edgedeploy bundle"
    return value_schema(Manifest, (bundle, model, quality), _RULES, name="manifest", title=title)


def schema_bytes() -> bytes:
    """The schema as it is written down."""
    return written(manifest_schema())


if __name__ == "__main__":
    import sys

    sys.stdout.buffer.write(schema_bytes())
