"""The software bill of materials of a bundle: what is in it, of which version, under which licence.

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), written as it is: a library for it would add clocks and random
serial numbers that had to be taken out again. Backends need do nothing for it. Packages are found by the metadata that
wheels bring along (https://packaging.python.org/en/latest/specifications/core-metadata/); what a backend names in its
runtime and brings no metadata of is looked up among the packages of this machine, that it was taken from.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgedeploy.compile.dependencies.wheels import is_licence
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.bundle import Runtime, Source
from edgedeploy.values.model import ModelFacts, TensorFacts
from edgedeploy.values.target import Target

Json = dict[str, Any]

_SPEC = "1.6"
_RUNNER = "edgedeploy-runner"
_PACKAGES_OF = {"zig": "ziglang"}
"""Programs that are called otherwise than the package that they come in."""

# Classifiers that name one licence of SPDX's list (https://spdx.org/licenses/); «BSD License» may be any of several.
_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: MIT No Attribution License (MIT-0)": "MIT-0",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: The Unlicense (Unlicense)": "Unlicense",
    "License :: OSI Approved :: zlib/libpng License": "Zlib",
}
# What authors write who wrote before there were such names; the Apache License also whole, as a text.
_WORDS = {
    "apache-2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd-3-clause": "BSD-3-Clause",
    "mit": "MIT",
    "mit license": "MIT",
}
_APACHE = re.compile(r"\s*Apache License\s+Version 2\.0", re.IGNORECASE)
_LICENCE_NAME_LIMIT = 200

# A library that a wheel carries within, as numpy's and scipy's licence files describe it: paragraphs of these lines.
_CARRIED = re.compile(
    r"^Name: (?P<name>.+)\nFiles: (?P<files>.+)\n(?:Description: .+\n)?(?:Availability: (?P<url>\S+).*\n)?"
    r"License: (?P<licence>.+)$",
    re.MULTILINE,
)


def bill_of_materials(
    folder: Path,
    *,
    name: str,
    version: str,
    target: Target,
    model: ModelFacts,
    model_file: str,
    runner: str,
    runtime: Runtime,
    source: Source | None,
) -> bytes:
    """The bill of a bundle whose files are in `folder`, as JSON. The same bundle has the same.

    Args:
        name, version: of the model on devices.
        model: what was compiled.
        model_file: path in the bundle of what it became.
        runner: path in the bundle of what is started on the device.
        source: the float model that it was made from.

    Raises:
        InvalidFileError: a file of the bundle cannot be read.
    """
    parts = [
        _model(folder / model_file, name, version, model, source),
        _runner(),
        *_packages(folder, runtime),
        *_linked_in(folder / runner),
    ]
    parts += _undescribed(folder, parts)
    body: Json = {
        "metadata": {
            "tools": {"components": [_tool("edgedeploy"), *_makers(runtime)]},
            "component": {
                "type": "application",
                "bom-ref": "bundle",
                "name": name,
                "version": version,
                "description": f"a bundle of edgedeploy for {target.title}",
                "properties": _properties(
                    {"target": target.name, "architecture": target.architecture, "backend": runtime.backend}
                ),
            },
        },
        "components": parts,
        "dependencies": [{"ref": "bundle", "dependsOn": sorted(part["bom-ref"] for part in parts)}],
    }
    # Of the content, in place of a random one: another bill has another, the same bill the same.
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    head = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC,
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"https://cyclonedx.org/edgedeploy/{digest}").urn,
        "version": 1,
    }
    return json.dumps(head | body, indent=1, ensure_ascii=False).encode() + b"\n"


def _model(file: Path, name: str, version: str, model: ModelFacts, source: Source | None) -> Json:
    content = sha256_file(file)
    ancestors = []
    if model.sha256 != content:
        ancestors.append(_ancestor(f"{name}, as it was compiled ({model.format})", model.sha256))
    if source is not None:
        ancestors.append(_ancestor(f"{name}, before the recipe {source.recipe}", source.sha256))
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": name,
        "version": version,
        "hashes": _hashes(content),
        **({"pedigree": {"ancestors": ancestors}} if ancestors else {}),
        "modelCard": {
            "modelParameters": {
                "inputs": [{"format": _tensor(tensor)} for tensor in model.inputs],
                "outputs": [{"format": _tensor(tensor)} for tensor in model.outputs],
            }
        },
        "properties": _properties({"parameters": str(model.parameters), "made-by": model.producer or "unknown"}),
    }


def _ancestor(name: str, sha256: str) -> Json:
    return {"type": "machine-learning-model", "name": name, "hashes": _hashes(sha256)}


def _tensor(tensor: TensorFacts) -> str:
    return f"{tensor.name}: {tensor.dtype} ({', '.join(map(str, tensor.shape))})"


def _runner() -> Json:
    return {
        **_tool("edgedeploy"),
        "bom-ref": _RUNNER,
        "name": _RUNNER,
        "description": "what is started on the device",
    }


def _tool(package: str) -> Json:
    metadata = importlib.metadata.metadata(package)
    found = {"type": "application", "name": package, "version": metadata["Version"]}
    return found | _licences(metadata)


def _makers(runtime: Runtime) -> Iterator[Json]:
    """What made programs of the bundle, as the runtime's settings say: `"zig 0.17.1"`."""
    for key in ("compiler", "generator"):
        name, _, version = str(runtime.settings.get(key, "")).partition(" ")
        if version:
            licences = _licences_here(_PACKAGES_OF.get(name, name)) or {}
            yield {"type": "application", "name": name, "version": version, **licences}


def _linked_in(program: Path) -> list[Json]:
    """The C library of a program that needs none on the device: programs are linked to zig's, which is musl."""
    with program.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return []
        from elftools.elf.elffile import ELFFile

        if any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(file).iter_segments()):
            return []
    found = importlib.util.find_spec("ziglang")
    version = None
    if found is not None and found.origin is not None:
        header = Path(found.origin).parent / "lib/libc/musl/src/internal/version.h"
        if header.is_file():
            version = re.search(r'"([0-9.]+)"', header.read_text(encoding="utf-8"))
    known = {"version": version[1], "purl": f"pkg:generic/musl@{version[1]}"} if version else {}
    return [{"type": "library", "bom-ref": "musl", "name": "musl", **known, "licenses": [_declared(id="MIT")]}]


def _packages(folder: Path, runtime: Runtime) -> list[Json]:
    """Every package that lies in the bundle, and every other one that the runtime names, by name."""
    found: dict[str, Json] = {}
    for path in sorted(folder.rglob("*.dist-info/METADATA")):
        metadata = _read(path)
        if metadata["Name"] and metadata["Version"]:
            found[_normal(metadata["Name"])] = _package(folder, path.parent, metadata)
    for name, version in runtime.packages.items():
        if _normal(name) not in found:
            found[_normal(name)] = _named(name, version)
    return [found[name] for name in sorted(found)]


def _read(path: Path) -> Message:
    with path.open("rb") as file:
        return BytesParser().parse(file, headersonly=True)


def _package(folder: Path, information: Path, metadata: Message) -> Json:
    """A package whose wheel was laid out; `information` is its `.dist-info` folder."""
    purl = _purl(metadata["Name"], metadata["Version"])
    own = [path for path in sorted(information.rglob("*")) if path.is_file() and is_licence(path.name)]
    beside = sorted(information.parent.glob(f"{_normal(metadata['Name']).replace('-', '_')}/*"))
    texts = [*own, *(path for path in beside if path.is_file() and is_licence(path.name))]
    carried = [part for text in texts for part in _carried(information.parent, text, purl)]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": metadata["Name"],
        "version": metadata["Version"],
        **({"description": metadata["Summary"]} if metadata["Summary"] else {}),
        **_licences(metadata),
        "purl": purl,
        **({"components": carried} if carried else {}),
        "properties": [
            {"name": "edgedeploy:licence-file", "value": text.relative_to(folder).as_posix()} for text in texts
        ],
    }


def _undescribed(folder: Path, parts: Sequence[Json]) -> list[Json]:
    """Libraries beside packages, in the folders `*.libs`, that no licence file describes: by name and SHA-256 alone."""
    described = {
        entry["content"] for part in parts for inner in part.get("components", ()) for entry in inner["hashes"]
    }
    found = []
    for path in sorted(folder.rglob("*.libs/*.so*")):
        sha256, place = sha256_file(path), path.relative_to(folder).as_posix()
        if sha256 not in described:
            found.append({"type": "library", "bom-ref": place, "name": path.name, "hashes": _hashes(sha256)})
    return found


def _named(name: str, version: str) -> Json:
    """A package that lies in the bundle in another form than a wheel: a library, or compiled in."""
    licences = _licences_here(name)
    generic = f"pkg:generic/{quote(name, safe='')}@{quote(version, safe='')}"
    purl = generic if licences is None else _purl(name, version)
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, **(licences or {}), "purl": purl}


def _licences_here(package: str) -> Json | None:
    """The `licenses` of a package that is installed on this machine; None when it is not."""
    try:
        return _licences(importlib.metadata.metadata(package))
    except importlib.metadata.PackageNotFoundError:
        return None


def _carried(packages: Path, text: Path, purl: str) -> Iterator[Json]:
    """Libraries that a wheel carries within and that lie in the bundle, as its licence file describes them."""
    for found in _CARRIED.finditer(text.read_text(encoding="utf-8", errors="replace")):
        files = [path for path in packages.rglob("*.so*") if _matches(path.relative_to(packages), found["files"])]
        if not files:
            continue
        yield {
            "type": "library",
            "bom-ref": f"{purl}#{quote(found['name'], safe='')}",
            "name": found["name"],
            "hashes": _hashes(sha256_file(min(files))),
            "licenses": _expression(found["licence"]),
            **({"externalReferences": [{"type": "website", "url": found["url"]}]} if found["url"] else {}),
        }


def _matches(path: Path, pattern: str) -> bool:
    # The pattern ends with `.so`, and the file may have a version behind that.
    return any(fnmatch.fnmatchcase(path.as_posix(), form) for form in (pattern, f"{pattern}.*"))


def _licences(metadata: Any) -> Json:
    """The `licenses` of a package, as its authors declare them; empty when they say nothing."""
    if expression := metadata["License-Expression"]:
        return {"licenses": _expression(expression)}
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License :: ")]
    if known := [_CLASSIFIERS[text] for text in classifiers if text in _CLASSIFIERS]:
        return {"licenses": [_declared(id=spdx) for spdx in known]}
    text = metadata["License"] or ""
    if _APACHE.match(text) or text.strip().lower() in _WORDS:
        return {"licenses": [_declared(id=_WORDS.get(text.strip().lower(), "Apache-2.0"))]}
    words = [text.rpartition(" :: ")[2] for text in classifiers] or _first_line(text)
    return {"licenses": [_declared(name=text) for text in words]} if words else {}


def _first_line(text: str) -> Sequence[str]:
    lines = [line.strip()[:_LICENCE_NAME_LIMIT] for line in text.splitlines() if line.strip()]
    return lines[:1]


def _expression(text: str) -> list[Json]:
    return [{"expression": text.strip(), "acknowledgement": "declared"}]


def _declared(**licence: str) -> Json:
    return {"license": {**licence, "acknowledgement": "declared"}}


def _properties(values: dict[str, str]) -> list[Json]:
    return [{"name": f"edgedeploy:{name}", "value": value} for name, value in values.items()]


def _hashes(sha256: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": sha256}]


def _purl(name: str, version: str) -> str:
    """https://github.com/package-url/purl-spec/blob/main/types-doc/pypi-definition.md"""
    return f"pkg:pypi/{quote(_normal(name), safe='')}@{quote(version, safe='')}"


def _normal(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()
