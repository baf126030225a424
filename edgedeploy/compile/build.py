"""Build a model into a bundle for a target."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from edgedeploy.bundle.archive import SUFFIX
from edgedeploy.bundle.build import SCHEMA, check_replaceable, encode_manifest, list_files, open_bundle, pack_bundle
from edgedeploy.compile.candidates import Candidate, candidates
from edgedeploy.compile.golden import write_golden
from edgedeploy.compile.needs import with_needs
from edgedeploy.compile.protocol import BuildRequest, BuildResult
from edgedeploy.compile.sbom import bill_of_materials
from edgedeploy.foundation.errors import EdgedeployError, HostError, IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import replacing_folder, unwritable, write_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.validation import is_name
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.inference.session import open_session
from edgedeploy.model.cache import keep_model
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import PROTOBUF_LIMIT_BYTES, external_files, load_onnx, read_onnx
from edgedeploy.values.bundle import MANIFEST_NAME, SBOM_NAME, Bundle, Manifest, Source
from edgedeploy.values.contract import Contract
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target

_TOOLS = ("edgedeploy", "numpy", "onnx", "onnxruntime")


def compile_model(
    model: Path,
    target: Target,
    output: Path,
    *,
    name: str | None = None,
    version: str = "1",
    backend: str = "auto",
    golden: str | None = None,
    golden_samples: int = 8,
    input_shapes: Mapping[str, Sequence[int]] = {},
    contract: Contract | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Build `model` into a bundle: all that runs it on a device of the kind `target`, in a folder or in one file.

    The same inputs and tools give the same bytes. A bundle that is at `output` is replaced, whole.

    Args:
        model: an `.onnx` or `.tflite` file. External data is taken into the bundle's one model file.
            `MODEL.evidence.json`, which `optimize` writes, is taken into the manifest if it is about this very file.
        output: the folder to be written; a name that ends with `.edge` is that of one file.
        name: of the model on devices; by default the file's name, in lower case and without what a name cannot have.
        version: of the model on devices.
        backend: `"auto"` or a backend's name.
        golden: dataset whose first samples become the golden inputs; by default they are random.
        golden_samples: how many, at most.
        input_shapes: extents of the random golden inputs, by input name, where the model leaves them open.
        contract: what the model was handed over with; the bundle says so, and a device it is on.

    Raises:
        InvalidFileError: the model or its evidence is missing or malformed, or `output` exists and is no bundle.
        UnsupportedError: the model's runtime does not load it, it is over 2 GB, the target cannot have the backend,
            name or version has other characters than a name can, or golden inputs cannot be made up.
        DatasetError: the golden data does not fit the model.
        IntegrityError: the model is not the contract's, nor made from it.
        HostError: the runtime cannot be fetched, or `output` cannot be written.
    """
    name = _default_name(model) if name is None else name
    for key, text in (("name", name), ("version", version)):
        if not is_name(text):
            raise UnsupportedError(
                f"{text!r} cannot be a {key}",
                why="it becomes part of paths on devices",
                hint="take lower-case letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
            )
    if golden_samples < 1:
        raise UnsupportedError("a bundle needs at least one golden sample")
    check_replaceable(output)
    progress.step(f"reading {model.name}")
    facts = inspect_model(model, input_shapes)
    tried = candidates(backend, target, facts.format)
    if facts.size_bytes > PROTOBUF_LIMIT_BYTES:
        raise UnsupportedError(
            f"{model} is {facts.size_bytes:,} bytes large with its data; a bundle's model ends at 2 GB",
            hint="make it smaller first: edgedeploy optimize",
        )
    source = _source(model, facts, progress)
    if contract is not None:
        _check_handed_over(model, source.sha256 if source else facts.sha256, contract)

    with _replacing(output) as folder, tempfile.TemporaryDirectory(prefix="edgedeploy-") as scratch:
        whole = Path(scratch) / f"model.{facts.format}"
        content = _whole(model, facts.format)
        write_bytes(whole, content)
        # What does not load here will not load there either. Golden outputs are made without graph optimizations, the
        # device runs with them: both must load.
        open_session(content, facts.format, exact=False)
        progress.step("computing golden outputs")
        kept = write_golden(
            open_session(content, facts.format, exact=True, threads=1),
            facts,
            folder / "golden",
            data=golden,
            samples=golden_samples,
            input_shapes=input_shapes,
            progress=progress,
        )
        order = BuildRequest(
            model=whole,
            format=facts.format,
            facts=facts,
            target=target,
            golden=folder / "golden",
            golden_samples=kept.samples,
            input_shapes=kept.input_shapes,
        )
        built = _built(tried, order, folder, progress)
        if Path(built.model_file).suffix not in (".onnx", ".tflite"):
            keep_model(content)
        progress.step("hashing the bundle")
        # The golden inputs say what dynamic shapes the model is used with, so its MACs can be told.
        compiled = inspect_model(whole, kept.input_shapes)
        bill = bill_of_materials(
            folder,
            name=name,
            version=version,
            target=target,
            model=compiled,
            model_file=built.model_file,
            runner=built.runner,
            runtime=built.runtime,
            source=source,
        )
        write_bytes(folder / SBOM_NAME, bill)
        manifest = Manifest(
            schema=SCHEMA,
            name=name,
            version=version,
            target=target.name,
            architecture=target.architecture,
            model_file=built.model_file,
            model=compiled,
            runtime=built.runtime,
            needs=built.needs,
            runner=built.runner,
            golden_samples=kept.samples,
            source=source,
            contract=contract.reference if contract else None,
            tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
            files=list_files(folder),
        )
        write_bytes(folder / MANIFEST_NAME, encode_manifest(manifest))
    return open_bundle(output, verify=False)


def _built(tried: Sequence[Candidate], order: BuildRequest, folder: Path, progress: Progress) -> BuildResult:
    """What the first of the candidates makes that can: a backend may find only while it builds what it cannot do, or
    that this machine lacks what it needs for it.

    Raises:
        UnsupportedError: none can; the words of each are in it.
        HostError: there is one candidate only, and this machine lacks what it needs.
    """
    before = set(folder.iterdir())
    refusals: list[EdgedeployError] = []
    for candidate in tried:
        try:
            built = with_needs(candidate.backend.build(order, folder, progress), folder, order.target)
        except (HostError, UnsupportedError) as error:
            if len(tried) == 1:
                raise
            progress.note(f"{candidate.name}: {error.what}")
            refusals.append(error)
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        reasons = [f"{one.name}: {error.what}" for one, error in zip(tried, refusals, strict=False)]
        why = "; ".join(part for part in (candidate.why, *reasons) if part)
        return structs.replace(built, runtime=structs.replace(built.runtime, chosen=why))
    raise UnsupportedError(
        f"no backend of target {order.target.name!r} can run this model",
        why="; ".join(f"{one.name}: {error.what}" for one, error in zip(tried, refusals, strict=True)),
    )


@contextlib.contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A folder to be filled with a bundle; when the block ends well, the bundle takes the place of `output`."""
    if output.suffix != SUFFIX:
        with replacing_folder(output) as folder:
            yield folder
        return
    # Beside it, where there has to be room for it anyway.
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.", suffix=".partial")
    except OSError as error:
        raise unwritable(output, error) from error
    with scratch as name:
        whole = Path(name) / "bundle"
        with replacing_folder(whole) as folder:
            yield folder
        pack_bundle(open_bundle(whole, verify=False), output)


def _default_name(model: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", model.stem.lower()).strip("._-")[:64]
    return name or "model"


def _whole(model: Path, format: ModelFormat) -> bytes:
    """The model in one piece, its external data taken in."""
    if format == "onnx" and external_files(read_onnx(model), model):
        content: bytes = load_onnx(model).SerializeToString(deterministic=True)
        return content
    return model.read_bytes()


def _check_handed_over(model: Path, sha256: str, contract: Contract) -> None:
    if sha256 != contract.model.sha256:
        raise IntegrityError(
            f"{model} is not the model of the contract, nor made from it",
            why=f"the contract names SHA-256 {contract.model.sha256[:12]}…, and this one comes from {sha256[:12]}…",
            hint="optimize the contract's model, and keep MODEL.evidence.json beside the result: it says what it is of",
        )


def _source(model: Path, facts: ModelFacts, progress: Progress) -> Source | None:
    """The float model behind this one, if `optimize` left word of it."""
    path = model.with_name(f"{model.name}.evidence.json")
    try:
        evidence = msgspec.json.decode(path.read_bytes(), type=Evidence)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidFileError(
            f"{path} cannot be read as evidence", why=str(error), hint="remove it, or optimize again"
        ) from error
    if evidence.result is None or evidence.result.sha256 != facts.sha256:
        progress.note(f"{path.name} is about another file than {model.name}: left out")
        return None
    return Source(
        sha256=evidence.source.sha256,
        size_bytes=evidence.source.size_bytes,
        parameters=evidence.source.parameters,
        recipe=evidence.recipe,
        evaluation_sha256=evidence.evaluation_sha256,
        metric=evidence.source_metric,
    )
