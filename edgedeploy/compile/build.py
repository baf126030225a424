"""Build a model into a bundle for a target."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from edgedeploy.bundle.archive import SUFFIX
from edgedeploy.bundle.build import SCHEMA, check_replaceable, encode_manifest, list_files, open_bundle, pack_bundle
from edgedeploy.compile.candidates import Candidate, offer
from edgedeploy.compile.needs import with_needs
from edgedeploy.compile.protocol import BackendRequest, BuildResult
from edgedeploy.compile.request import BuildRequest, GoldenRequest, resolve
from edgedeploy.compile.staging import stage
from edgedeploy.foundation.errors import HostError, UnsupportedError
from edgedeploy.foundation.files import replacing_folder, unwritable, write_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.scratch import held_path, scratch_folder
from edgedeploy.model.cache import keep_model
from edgedeploy.model.inspect import inspect_model
from edgedeploy.values.bundle import MANIFEST_NAME, SBOM_NAME, Bundle, Manifest
from edgedeploy.values.contract import Contract
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target

_TOOLS = ("edgedeploy", "onnx", "onnxruntime")
"""Whose versions the manifest names: what writes files of a bundle. numpy only carries arrays, and the one that is
installed goes with this machine's Python (numpy 2.5 needs 3.12): named, it gave the same bundle another ID there."""
_MODEL_SUFFIXES = (".onnx", ".tflite")
"""Of bundles that hold the model itself; of others the cache keeps it, to compute answers with on this machine."""


def compile_model(
    model: Path,
    target: Target,
    output: Path,
    *,
    name: str | None = None,
    version: str = "1",
    backend: str = "auto",
    golden: DatasetSpec | None = None,
    golden_samples: int = 8,
    input_shapes: Mapping[str, Sequence[int]] = {},
    contract: Contract | None = None,
    preprocessing: Mapping[str, Any] = {},
    embedded: Path | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Build `model` into a bundle: all that runs it on a device of the kind `target`, in a folder or in one file.

    The same inputs and tools give the same bytes. A bundle that is at `output` is replaced, whole.

    Args:
        model: an `.onnx` or `.tflite` file. External data is taken into the bundle's one model file.
            `MODEL.evidence.json`, which `optimize` writes, is taken into the manifest if it is about this very file.
        output: the folder to be written; a name that ends with `.edge` is that of one file.
        name: of the model on devices; by default the one that `optimize` recorded in the file or in its evidence, else
            the file's name, in lower case and without what a name cannot have.
        version: of the model on devices.
        backend: `"auto"` or a backend's name.
        golden: dataset whose first samples become the golden inputs; by default they are random.
        golden_samples: how many, at most.
        input_shapes: extents of the random golden inputs, by input name, where the model leaves them open.
        contract: what the model was handed over with; the bundle says so, and a device it is on.
        preprocessing: what is done to samples before the model sees them, for the manifest.
        embedded: the model with its preprocessing inside (`optimize.embed`), which is built in place of `model`; name,
            evidence and contract are those of `model`.

    Raises:
        InvalidFileError: the model or its evidence is missing or malformed, or `output` exists and is no bundle.
        UnsupportedError: the model's runtime does not load it, it is over 2 GB, the target cannot have the backend,
            name or version has other characters than a name can, or golden inputs cannot be made up.
        DatasetError: the golden data does not fit the model.
        IntegrityError: the model is not the contract's, nor made from it.
        HostError: the runtime cannot be fetched, or `output` cannot be written.
    """
    check_replaceable(output)
    request = resolve(
        model,
        target,
        name=name,
        version=version,
        backend=backend,
        golden=GoldenRequest(data=golden, samples=golden_samples, input_shapes=input_shapes),
        contract=contract,
        preprocessing=preprocessing,
        embedded=embedded,
        progress=progress,
    )
    for note in request.facts.notes:
        progress.note(note)
    with _replacing(output) as folder, scratch_folder() as scratch:
        staged = stage(request, scratch, folder / "golden", progress)
        built = _build_with_first(request.candidates, staged, folder, progress)
        if Path(built.model_file).suffix not in _MODEL_SUFFIXES:
            keep_model(request.facts.sha256, read_file(staged.model, MODEL))
        progress.step("hashing the bundle")
        # The golden inputs say what dynamic shapes the model is used with, so its MACs can be counted.
        compiled = inspect_model(request.model, staged.input_shapes)
        _write_bill(request, compiled, built, folder)
        _write_manifest(request, compiled, built, staged.golden_samples, folder)
    return open_bundle(output, verify=False)


def _build_with_first(
    tried: Sequence[Candidate], staged: BackendRequest, folder: Path, progress: Progress
) -> BuildResult:
    """Build with the first of the candidates that can: a backend may find only while it builds what it cannot do, or
    that this machine lacks what it needs for it.

    Raises:
        UnsupportedError: none can; the words of each are in it.
        HostError: none can, and this machine lacks what one of them needs.
    """
    before = set(folder.iterdir())
    refusals: list[str] = []
    lacking: list[HostError] = []
    for candidate in tried:
        try:
            built = with_needs(candidate.backend.build(staged, folder, progress), folder, staged.target)
        except (HostError, UnsupportedError) as error:
            if len(tried) == 1:
                raise _with_offer(error, candidate) from error
            refusal = f"{candidate.name}: {error.what}"
            progress.note(refusal)
            refusals.append(refusal)
            if isinstance(error, HostError):
                lacking.append(error)
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        why = "; ".join(part for part in (candidate.why, *refusals) if part)
        return structs.replace(built, runtime=structs.replace(built.runtime, chosen=why))
    if lacking:
        raise HostError(
            f"this machine cannot build the model for target {staged.target.name!r}",
            why="; ".join(refusals),
            hint=next((error.hint for error in lacking if error.hint), ""),
        )
    raise UnsupportedError(
        f"no backend of target {staged.target.name!r} can run this model",
        why="; ".join(refusals),
    )


def _with_offer(error: HostError | UnsupportedError, candidate: Candidate) -> HostError | UnsupportedError:
    """Add the other backends that the target can have to what a backend says for itself."""
    offered = offer(candidate.alternatives) if isinstance(error, UnsupportedError) else ""
    if not offered:
        return error
    return UnsupportedError(error.what, why=error.why, hint=f"{error.hint}; or {offered}" if error.hint else offered)


def _write_bill(request: BuildRequest, compiled: ModelFacts, built: BuildResult, folder: Path) -> None:
    # It imports CycloneDX's library, which nobody is to wait for who builds nothing.
    from edgedeploy.compile.sbom import bill_of_materials

    bill = bill_of_materials(
        folder,
        name=request.name,
        version=request.version,
        target=request.target,
        model=compiled,
        model_file=built.model_file,
        runner=built.runner,
        runtime=built.runtime,
        source=request.source,
    )
    write_bytes(folder / SBOM_NAME, bill)


def _write_manifest(
    request: BuildRequest, compiled: ModelFacts, built: BuildResult, golden_samples: int, folder: Path
) -> None:
    """Write what the bundle is. It comes last: it lists every other file by hash."""
    manifest = Manifest(
        schema=SCHEMA,
        name=request.name,
        version=request.version,
        target=request.target.name,
        architecture=request.target.architecture,
        model_file=built.model_file,
        model=compiled,
        runtime=built.runtime,
        needs=built.needs,
        runner=built.runner,
        golden_samples=golden_samples,
        source=request.source,
        contract=request.contract,
        preprocessing=dict(request.preprocessing),
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
        files=list_files(folder),
    )
    write_bytes(folder / MANIFEST_NAME, encode_manifest(manifest))


@contextlib.contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """Give a folder to fill with a bundle; when the block ends well, the bundle takes the place of `output`."""
    if output.suffix != SUFFIX:
        with replacing_folder(output) as folder:
            yield folder
        return
    # Beside it, where there has to be room for it anyway.
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        stack = contextlib.ExitStack()
        scratch = stack.enter_context(held_path(output.parent, output.name, folder=True))
    except OSError as error:
        raise unwritable(output, error) from error
    with stack:
        whole = scratch / "bundle"
        with replacing_folder(whole) as folder:
            yield folder
        pack_bundle(open_bundle(whole, verify=False), output)
