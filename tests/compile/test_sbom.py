"""The bill of materials: sound by CycloneDX's own schema, the same for the same bundle, and true of what lies there."""

from __future__ import annotations

import importlib.resources
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from edgedeploy.compile.build import compile_model
from edgedeploy.compile.sbom import bill_of_materials
from edgedeploy.foundation.files import sha256_file
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import SBOM_NAME, Runtime, Source
from edgedeploy.values.model import ModelFacts, TensorFacts

RPI4 = load_target("rpi4")
MODEL = ModelFacts(
    format="onnx", sha256="a" * 64, size_bytes=5, producer="pytorch", opset=17,
    inputs=(TensorFacts(name="x", dtype="float32", shape=("N", 3)),),
    outputs=(TensorFacts(name="y", dtype="float32", shape=("N", 2)),),
    parameters=6, macs=6, macs_note="", operators={},
)  # fmt: skip
SOURCE = Source(sha256="b" * 64, size_bytes=9, parameters=6, recipe="int8", evaluation_sha256=None, metric=None)

CARRIED = """\
The licence of libthing itself.
----
Name: Fast Thing
Files: thing.libs/libfast*.so
Description: bundled as a dynamically linked library
Availability: https://example.org/fast
License: GPL-3.0-or-later WITH GCC-exception-3.1
  GNU GENERAL PUBLIC LICENSE

Name: Not There
Files: thing.libs/libabsent*.so
Description: bundled as a dynamically linked library
Availability: https://example.org/absent
License: MIT
"""


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    folder = importlib.resources.files("cyclonedx.schema") / "_res"
    read = {
        name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text(encoding="utf-8"))
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    registry: Registry[Any] = Registry().with_resources(
        [
            (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", Resource.from_contents(content))
            for name, content in read.items()
        ]  # where the one refers to the others
    )
    return Draft7Validator(read["bom-1.6"], registry=registry)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle's files before there is a manifest."""
    files = {
        "model.onnx": "model",
        "run": "#!/bin/sh",
        "runtime/python/thing-1.2+local.dist-info/METADATA": "Metadata-Version: 2.4\nName: The.Thing\n"
        "Version: 1.2+local\nSummary: Things\nLicense-Expression: MIT AND Zlib\n\nA long story.\n",
        "runtime/python/thing-1.2+local.dist-info/licenses/LICENSE.txt": CARRIED,
        "runtime/python/thing.libs/libfast-0123.so.5.0": "fast",
        "runtime/python/thing.libs/libgomp.so.1": "another",
        "runtime/python/old-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: old\nVersion: 0.1\n"
        "License: whatever\nClassifier: License :: OSI Approved :: Apache Software License\n\n",
        "runtime/python/older-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: older\nVersion: 0.1\n"
        "Classifier: License :: OSI Approved :: BSD License\n\n",
        "runtime/python/oldest-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: oldest\nVersion: 0.1\n"
        "License: Copyright (c) 1999\n  All rights reserved.\n\n",
        "runtime/python/worded-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: worded\nVersion: 0.1\n"
        "License: MIT\n\n",
        "runtime/python/whole-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: whole\nVersion: 0.1\n"
        "License:                               Apache License\n                        Version 2.0, January 2004\n\n",
        "runtime/python/silent-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: silent\nVersion: 0.1\n\n",
        "runtime/python/broken-0.1.dist-info/METADATA": "\udcff no header",
    }
    for name, text in files.items():
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes(text.encode(errors="surrogateescape"))
    return tmp_path / "bundle"


def bill(folder: Path, packages: dict[str, str], **changes: Any) -> dict[str, Any]:
    runtime = Runtime(backend="onnxruntime", python="3.11", glibc="2.28", packages=packages)
    arguments: dict[str, Any] = {
        "name": "model", "version": "1", "target": RPI4, "model": MODEL, "model_file": "model.onnx", "runner": "run",
        "runtime": runtime, "source": SOURCE, **changes,
    }  # fmt: skip
    content = bill_of_materials(folder, **arguments)
    assert bill_of_materials(folder, **arguments) == content
    return json.loads(content)


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in found["components"]}


def licences(part: dict[str, Any]) -> list[str]:
    found = []
    for each in part.get("licenses", ()):
        licence = each.get("license", {})
        found.append(each.get("expression") or licence.get("id") or f"name: {licence['name']}")
    return found


def test_it_is_sound(folder, schema):
    found = bill(folder, {"The.Thing": "1.2+local", "numpy": "2.4.6", "musl": "1.2.5"})
    assert [error.message for error in schema.iter_errors(found)] == []
    assert found["metadata"]["component"]["name"] == "model"
    references = [part["bom-ref"] for part in found["components"]]
    assert sorted(references) == found["dependencies"][0]["dependsOn"]


def test_the_schema_would_say_so(schema):
    assert list(schema.iter_errors({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "x"}]}))


def test_packages_come_from_their_metadata(folder):
    found = by_name(bill(folder, {"The.Thing": "1.2+local"}))
    thing = found["The.Thing"]
    assert (thing["version"], thing["purl"]) == ("1.2+local", "pkg:pypi/the-thing@1.2%2Blocal")
    assert licences(thing) == ["MIT AND Zlib"]
    assert [each["value"] for each in thing["properties"]] == [
        "runtime/python/thing-1.2+local.dist-info/licenses/LICENSE.txt"
    ]
    assert licences(found["old"]) == ["Apache-2.0"]
    assert licences(found["older"]) == ["name: BSD License"]
    assert licences(found["oldest"]) == ["name: Copyright (c) 1999"]
    assert (licences(found["worded"]), licences(found["whole"])) == (["MIT"], ["Apache-2.0"])
    assert licences(found["silent"]) == []
    assert "broken" not in found


def test_a_library_that_a_wheel_carries_is_named_when_it_is_there(folder):
    (carried,) = by_name(bill(folder, {}))["The.Thing"]["components"]
    assert (carried["name"], licences(carried)) == ("Fast Thing", ["GPL-3.0-or-later WITH GCC-exception-3.1"])
    library = folder / "runtime/python/thing.libs/libfast-0123.so.5.0"
    assert carried["hashes"] == [{"alg": "SHA-256", "content": sha256_file(library)}]


def test_a_library_that_two_files_describe_is_named_once(folder):
    (folder / "runtime/python/the_thing").mkdir()
    (folder / "runtime/python/the_thing/NOTICE").write_text(CARRIED)
    thing = by_name(bill(folder, {}))["The.Thing"]
    assert [carried["name"] for carried in thing["components"]] == ["Fast Thing"]
    assert len(thing["properties"]) == 2


def test_no_clock_and_no_chance_is_in_it(folder):
    found = bill(folder, {})
    assert "timestamp" not in found["metadata"]
    assert list(found)[:4] == ["$schema", "bomFormat", "specVersion", "serialNumber"]


def test_a_library_that_nobody_describes_is_named_all_the_same(folder):
    found = by_name(bill(folder, {}))
    assert "libfast-0123.so.5.0" not in found
    assert found["libgomp.so.1"]["bom-ref"] == "runtime/python/thing.libs/libgomp.so.1"
    assert licences(found["libgomp.so.1"]) == []


def test_what_brings_no_metadata_is_looked_up_here(folder):
    found = by_name(bill(folder, {"numpy": "2.0.0", "musl": "1.2.5"}))
    assert found["numpy"]["purl"] == "pkg:pypi/numpy@2.0.0"
    assert "BSD" in licences(found["numpy"])[0]  # NumPy 2.0 gives no identifier, newer ones do
    assert (found["musl"]["purl"], licences(found["musl"])) == ("pkg:generic/musl@1.2.5", [])


def test_the_model_and_what_it_was_made_from(folder):
    part = by_name(bill(folder, {}))["model"]
    assert part["type"] == "machine-learning-model"
    assert part["hashes"] == [{"alg": "SHA-256", "content": sha256_file(folder / "model.onnx")}]
    ancestors = part["pedigree"]["ancestors"]
    assert [each["hashes"][0]["content"][0] for each in ancestors] == ["a", "b"]
    assert part["modelCard"]["modelParameters"]["inputs"] == [{"format": "x: float32 (N, 3)"}]
    same = msgspec.structs.replace(MODEL, sha256=sha256_file(folder / "model.onnx"))
    assert "pedigree" not in by_name(bill(folder, {}, model=same, source=None))["model"]


def elf(*, interpreted: bool) -> bytes:
    """The beginning of a 64-bit Arm program: a header, and one segment, which names a loader or does not."""
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    )
    return header + struct.pack("<IIQQQQQQ", 3 if interpreted else 1, 5, 0, 0, 0, 120, 120, 1)


def test_a_static_program_has_its_c_library_within(folder, schema):
    settings = {"compiler": "zig 0.17.1", "generator": "emx-onnx-cgen 1.4.0", "threads": 1}
    runtime = Runtime(backend="native", python=None, glibc=None, packages={}, settings=settings)
    (folder / "run").write_bytes(elf(interpreted=False))
    found = bill(folder, {}, runtime=runtime, model_file="run")
    assert [error.message for error in schema.iter_errors(found)] == []
    assert licences(by_name(found)["musl"]) == ["MIT"]
    tools = {tool["name"]: tool["version"] for tool in found["metadata"]["tools"]["components"]}
    assert tools == {"edgedeploy": tools["edgedeploy"], "zig": "0.17.1", "emx-onnx-cgen": "1.4.0"}
    (folder / "run").write_bytes(elf(interpreted=True))
    assert "musl" not in by_name(bill(folder, {}, runtime=runtime))


def test_another_bill_has_another_serial_number(folder):
    first, second = bill(folder, {}), bill(folder, {}, version="2")
    assert first["serialNumber"] != second["serialNumber"]
    assert first["serialNumber"].startswith("urn:uuid:")


@pytest.mark.keeps_cache
def test_of_a_real_bundle(tmp_path, schema):
    """Wheels laid out for a board: what they say of themselves, and what numpy carries within."""
    import onnx.parser

    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        linear (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }""")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    bundle = compile_model(tmp_path / "m.onnx", RPI4, tmp_path / "out", backend="onnxruntime")
    assert SBOM_NAME in {entry.path for entry in bundle.manifest.files}
    found = json.loads((bundle.path / SBOM_NAME).read_bytes())
    assert [error.message for error in schema.iter_errors(found)] == []
    parts = by_name(found)
    assert {"m", "edgedeploy-runner", *bundle.manifest.runtime.packages} == set(parts)
    assert licences(parts["onnxruntime"]) == ["MIT"]
    assert "BSD-3-Clause" in licences(parts["numpy"])[0]
    assert "OpenBLAS" in {part["name"] for part in parts["numpy"]["components"]}
