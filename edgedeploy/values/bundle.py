"""The built artifact for one model on one target, and the release that it becomes on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from edgedeploy.values.model import ModelFacts
from edgedeploy.values.quality import MetricFigure

MANIFEST_NAME = "manifest.json"
SBOM_NAME = "sbom.cdx.json"
"""The software bill of materials (CycloneDX) of a bundle; in bundles that were compiled before there was one, none."""


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str
    """Relative to the bundle, with `/`; no `..`, no leading `/`, no control characters."""
    size_bytes: int
    sha256: str
    executable: bool = False


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The float model that the bundled one was made from, and how good it was on the host."""

    sha256: str
    size_bytes: int
    parameters: int
    recipe: str
    evaluation_sha256: str | None
    metric: MetricFigure | None


class ContractReference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contract that a model was handed over with."""

    file: str
    """Its name."""
    sha256: str
    owner: str | None = None
    """Whom to ask when it breaks."""


class Runtime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What executes the model on the device."""

    backend: str
    python: str | None
    """The device's Python that the wheels are for; None when none is needed."""
    glibc: str | None
    packages: dict[str, str]
    """Name and version of each package laid out in the bundle."""
    settings: dict[str, bool | int | str] = {}
    """What the runner sets in the runtime, chosen for the target when the bundle was compiled: see docs/bundles.md."""
    chosen: str = ""
    """Why it was this backend, where edgedeploy chose; empty where the user did."""


class Needs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the device must have beside its architecture, Python and C library: see `deploy.preflight`."""

    cpu_features: tuple[str, ...] = ()
    """Without which the programs in the bundle die, named as in Linux's `/proc/cpuinfo`, e.g. `"asimddp"`."""
    page_size_bytes: int | None = None
    """The largest page that every shared library and program in the bundle is aligned for; None when there is none."""
    memory_bytes: int | None = None
    """The largest resident set that was measured while the model ran, or what a compiled program computes with, nearly
    that; None when neither is known."""
    shared_libraries: tuple[str, ...] = ()
    """That programs in the bundle ask for and that are neither in it nor of the GNU C library, e.g.
    `"libstdc++.so.6"`."""
    locales: tuple[str, ...] = ()
    """That the C library there must know, since the model changes the case of letters by their rules, e.g.
    `"en_US.UTF-8"`."""


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json` of a bundle: everything in it, by hash. The manifest's own SHA-256 names the bundle."""

    schema: int
    name: str
    """Of the model: lower-case letters, digits, `-`, `_`, `.`; begins with a letter or digit; at most 64."""
    version: str
    """Same alphabet as `name`."""
    target: str
    architecture: str
    model_file: str
    """Path in the bundle of what holds the weights: the model, or the program that it became."""
    model: ModelFacts
    """Of the model that was compiled, whatever it became."""
    runtime: Runtime
    needs: Needs = Needs()
    runner: str
    """Path in the bundle of what is started on the device."""
    golden_samples: int
    """Inputs and outputs kept under `golden/` as `NNNN.npz`, keys `input:NAME` and `output:NAME`."""
    source: Source | None
    contract: ContractReference | None = None
    """None of a model that was compiled without one."""
    preprocessing: dict[str, Any] = {}
    """What is done to samples before the model sees them: the keys of `[preprocessing]`, those of its preset written
    out; empty where nothing was declared. What of it is inside the model, its inputs say (`model.inputs`)."""
    tools: dict[str, str]
    files: tuple[FileEntry, ...]
    """Every file of the bundle but the manifest itself, in path order."""


class Bundle(Struct, frozen=True, kw_only=True):
    """A bundle in a folder of this machine, its manifest read and checked."""

    path: Path
    manifest: Manifest
    sha256: str
    """Of `manifest.json`, byte for byte."""
    size_bytes: int
    """Of all files, the manifest included."""


class Release(Struct, frozen=True, kw_only=True):
    """A bundle that lives on a device."""

    device: str
    """The address as the user gave it."""
    name: str
    id: str
    """`VERSION-` and the first 12 digits of the bundle's SHA-256."""
    path: str
    """The release's folder on the device, absolute."""
    current: bool
    parent: str | None
    """The release that was current when this one became so, or the parent of that where it was not confirmed: where
    `rollback` goes."""
    manifest: Manifest
    awaits_verdict: bool = False
    """`ship` made it current and has not judged it: it was stopped, or is still at work."""
    verdict: Literal["holds", "breaks", "cannot be told"] | None = None
    """What the last `ship` with it found; None when none did, as after `push`."""
