"""The software bill of materials of a bundle: what is in it, of which version, under which licence.

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), by its own library. Importing that takes a while: import this
module where a bill is written. Backends need do nothing for it. Packages are found by the metadata that wheels bring
along; what a backend names in its runtime and brings no metadata of is looked up among the packages of this machine,
that it was taken from.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from edgedeploy.compile.dependencies.wheels import is_licence
from edgedeploy.compile.licences import declared_licences, installed_licences, licence_expression, spdx_licence
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.reading import LICENCE_TEXT, open_file, read_text
from edgedeploy.values.bundle import Runtime, Source
from edgedeploy.values.model import ModelFacts, TensorFacts
from edgedeploy.values.target import Target

_MODEL = "model"
_RUNNER = "edgedeploy-runner"
_PACKAGES_OF = {"zig": "ziglang"}
"""Programs that are called otherwise than the package that they come in."""

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
    """Write the bill of a bundle whose files are in `folder`, as JSON. The same bundle has the same.

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
    bundle = Component(
        type=ComponentType.APPLICATION,
        bom_ref="bundle",
        name=name,
        version=version,
        description=f"a bundle of edgedeploy for {target.title}",
        properties=_properties(target=target.name, architecture=target.architecture, backend=runtime.backend),
    )
    tools = ToolRepository(components=[_tool("edgedeploy"), *_makers(runtime)])
    bom = Bom(metadata=BomMetaData(tools=tools, component=bundle), components=parts)
    bom.register_dependency(bundle, parts)
    return _same_each_time(bom, model)


def _same_each_time(bom: Bom, model: ModelFacts) -> bytes:
    """Write a bill without the time, and with a serial number of its content in place of a random one.

    Another bill has another number, the same bill the same.
    """
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    (part,) = (component for component in document["components"] if component["bom-ref"] == _MODEL)
    part["modelCard"] = _model_card(model)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    head = {key: document.pop(key) for key in ("$schema", "bomFormat", "specVersion")}
    head["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, f"https://cyclonedx.org/edgedeploy/{digest}").urn
    return json.dumps(head | document, indent=1, ensure_ascii=False).encode() + b"\n"


def _model_card(model: ModelFacts) -> dict[str, Any]:
    """Write `modelCard`, which the library (11.12) has no class for."""
    return {
        "modelParameters": {
            "inputs": [{"format": _tensor(tensor)} for tensor in model.inputs],
            "outputs": [{"format": _tensor(tensor)} for tensor in model.outputs],
        }
    }


def _tensor(tensor: TensorFacts) -> str:
    return f"{tensor.name}: {tensor.dtype} ({', '.join(map(str, tensor.shape))})"


def _model(file: Path, name: str, version: str, model: ModelFacts, source: Source | None) -> Component:
    content = sha256_file(file)
    ancestors = []
    if model.sha256 != content:
        ancestors.append(_ancestor(f"{name}, as it was compiled ({model.format})", model.sha256))
    if source is not None:
        ancestors.append(_ancestor(f"{name}, before the recipe {source.recipe}", source.sha256))
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=_MODEL,
        name=name,
        version=version,
        hashes=_hashes(content),
        pedigree=Pedigree(ancestors=ancestors) if ancestors else None,
        properties=_properties(parameters=str(model.parameters), made_by=model.producer or "unknown"),
    )


def _ancestor(name: str, sha256: str) -> Component:
    return Component(type=ComponentType.MACHINE_LEARNING_MODEL, name=name, hashes=_hashes(sha256))


def _runner() -> Component:
    runner = _tool("edgedeploy")
    runner.bom_ref.value = runner.name = _RUNNER
    runner.description = "what is started on the device"
    return runner


def _tool(package: str) -> Component:
    metadata = importlib.metadata.metadata(package)
    return Component(
        type=ComponentType.APPLICATION,
        name=package,
        version=metadata["Version"],
        licenses=declared_licences(metadata),
    )


def _makers(runtime: Runtime) -> Iterator[Component]:
    """Name what made programs of the bundle, as the runtime's settings say: `"zig 0.17.1"`."""
    for key in ("compiler", "generator"):
        name, _, version = str(runtime.settings.get(key, "")).partition(" ")
        if version:
            licences = installed_licences(_PACKAGES_OF.get(name, name))
            yield Component(type=ComponentType.APPLICATION, name=name, version=version, licenses=licences)


def _linked_in(program: Path) -> list[Component]:
    """Name the C library of a program that needs none on the device: programs are linked to zig's, which is musl."""
    with open_file(program) as file:
        if file.read(4) != b"\x7fELF":
            return []
        from elftools.elf.elffile import ELFFile

        if any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(file).iter_segments()):
            return []
    version = _musl_version()
    return [
        Component(
            type=ComponentType.LIBRARY,
            bom_ref="musl",
            name="musl",
            version=version,
            purl=PackageURL("generic", name="musl", version=version) if version else None,
            licenses=[spdx_licence("MIT")],
        )
    ]


def _musl_version() -> str | None:
    """Read which musl zig brings; None where zig is not installed."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        return None
    header = Path(found.origin).parent / "lib/libc/musl/src/internal/version.h"
    if not header.is_file():
        return None
    version = re.search(r'"([0-9.]+)"', read_text(header, LICENCE_TEXT))
    return version[1] if version else None


def _packages(folder: Path, runtime: Runtime) -> list[Component]:
    """List every package that lies in the bundle, and every other one that the runtime names, by name."""
    found: dict[str, Component] = {}
    for path in sorted(folder.rglob("*.dist-info/METADATA")):
        metadata = _read(path)
        if metadata["Name"] and metadata["Version"]:
            found[_normal(metadata["Name"])] = _package(folder, path.parent, metadata)
    for name, version in runtime.packages.items():
        if _normal(name) not in found:
            found[_normal(name)] = _named(name, version)
    return [found[name] for name in sorted(found)]


def _read(path: Path) -> Message:
    with open_file(path) as file:
        return BytesParser().parse(file, headersonly=True)


def _package(folder: Path, information: Path, metadata: Message) -> Component:
    """Describe a package whose wheel was laid out; `information` is its `.dist-info` folder."""
    purl = _purl(metadata["Name"], metadata["Version"])
    own = [path for path in sorted(information.rglob("*")) if path.is_file() and is_licence(path.name)]
    beside = sorted(information.parent.glob(f"{_normal(metadata['Name']).replace('-', '_')}/*"))
    texts = [*own, *(path for path in beside if path.is_file() and is_licence(path.name))]
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        name=metadata["Name"],
        version=metadata["Version"],
        description=metadata["Summary"] or None,
        licenses=declared_licences(metadata),
        purl=purl,
        components=_carried(information.parent, texts, purl.to_string()),
        properties=[
            Property(name="edgedeploy:licence-file", value=text.relative_to(folder).as_posix()) for text in texts
        ],
    )


def _carried(packages: Path, texts: Iterable[Path], purl: str) -> list[Component]:
    """Describe the libraries that a wheel carries within and that lie in the bundle, as its licence files say.

    One that several files describe is named once.
    """
    found: dict[str, Component] = {}
    for text in texts:
        for entry in _CARRIED.finditer(read_text(text, LICENCE_TEXT, errors="replace")):
            files = [path for path in packages.rglob("*.so*") if _matches(path.relative_to(packages), entry["files"])]
            reference = f"{purl}#{quote(entry['name'], safe='')}"
            if files and reference not in found:
                found[reference] = Component(
                    type=ComponentType.LIBRARY,
                    bom_ref=reference,
                    name=entry["name"],
                    hashes=_hashes(sha256_file(min(files))),
                    licenses=[licence_expression(entry["licence"])],
                    external_references=_website(entry["url"]),
                )
    return list(found.values())


def _website(url: str | None) -> list[ExternalReference]:
    return [ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(url))] if url else []


def _matches(path: Path, pattern: str) -> bool:
    # The pattern ends with `.so`, and the file may have a version behind that.
    return any(fnmatch.fnmatchcase(path.as_posix(), form) for form in (pattern, f"{pattern}.*"))


def _undescribed(folder: Path, parts: Sequence[Component]) -> list[Component]:
    """List libraries beside packages, in the folders `*.libs`, that no licence file describes, by name and SHA-256."""
    described = {hashed.content for part in parts for library in part.components for hashed in library.hashes}
    found = []
    for path in sorted(folder.rglob("*.libs/*.so*")):
        sha256, reference = sha256_file(path), path.relative_to(folder).as_posix()
        if sha256 not in described:
            found.append(
                Component(type=ComponentType.LIBRARY, bom_ref=reference, name=path.name, hashes=_hashes(sha256))
            )
    return found


def _named(name: str, version: str) -> Component:
    """Describe a package that lies in the bundle in another form than a wheel: a library, or compiled in."""
    licences = installed_licences(name)
    purl = PackageURL("generic", name=name, version=version) if licences is None else _purl(name, version)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        name=name,
        version=version,
        licenses=licences,
        purl=purl,
    )


def _properties(**values: str) -> list[Property]:
    return [Property(name=f"edgedeploy:{name.replace('_', '-')}", value=value) for name, value in values.items()]


def _hashes(sha256: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)]


def _purl(name: str, version: str) -> PackageURL:
    """Name a package of PyPI: https://github.com/package-url/purl-spec/blob/main/types-doc/pypi-definition.md"""
    return PackageURL("pypi", name=_normal(name), version=version)


def _normal(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()
