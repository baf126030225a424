"""Resolves what `compile_model` is asked for: everything that is wrong with it is said before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from edgedeploy.compile.candidates import Candidate, candidates, check_element_types
from edgedeploy.foundation.advice import MAKE_SMALLER
from edgedeploy.foundation.errors import IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import EVIDENCE, read_file
from edgedeploy.foundation.validation import is_name
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import PROTOBUF_LIMIT_BYTES
from edgedeploy.model.recorded_name import name_of_file, recorded_name
from edgedeploy.values.bundle import ContractReference, Source
from edgedeploy.values.contract import Contract
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target


class GoldenRequest(Struct, frozen=True, kw_only=True):
    """Where golden inputs come from."""

    data: DatasetSpec | None
    """A dataset whose first samples they are; None draws random ones."""
    samples: int
    """How many at most."""
    input_shapes: Mapping[str, Sequence[int]]
    """Extents of the random ones, by input name, where the model leaves them open."""


class BuildRequest(Struct, frozen=True, kw_only=True):
    """One bundle to be built: of what, for what, by which backends, and where the model comes from."""

    name: str
    version: str
    model: Path
    """The file that is built, its external data beside it: the user's, or the one with its preprocessing inside."""
    facts: ModelFacts
    """Of that file."""
    target: Target
    candidates: tuple[Candidate, ...]
    """The backends to be tried, in order; at least one."""
    golden: GoldenRequest
    source: Source | None
    """The float model that `optimize` made this one from."""
    contract: ContractReference | None
    preprocessing: Mapping[str, Any] = {}
    """What is done to samples before the model sees them, for the manifest."""


def resolve(
    model: Path,
    target: Target,
    *,
    name: str | None,
    version: str,
    backend: str,
    golden: GoldenRequest,
    contract: Contract | None,
    preprocessing: Mapping[str, Any],
    embedded: Path | None,
    progress: Progress,
) -> BuildRequest:
    """Read the model and its evidence, choose the backends, and check names, size and contract.

    Raises:
        As `compile_model`, but for what shows only while it builds.
    """
    if name is not None:
        _check_names(name, version)
    if golden.samples < 1:
        raise UnsupportedError("a bundle needs at least one golden sample")
    progress.step(f"reading {model.name}")
    given = inspect_model(model, golden.input_shapes if embedded is None else {})
    facts = given if embedded is None else inspect_model(embedded, golden.input_shapes)
    check_element_types(facts)
    tried = candidates(backend, target, facts.format, facts)
    if facts.size_bytes > PROTOBUF_LIMIT_BYTES:
        raise UnsupportedError(
            f"{model} is {facts.size_bytes:,} bytes large with its data; a bundle's model ends at 2 GB",
            hint=MAKE_SMALLER,
        )
    evidence = _evidence(model, given, progress)
    source = None if evidence is None else _source(evidence)
    name = name or recorded_name(model) or (evidence and evidence.model_name) or name_of_file(model)
    _check_names(name, version)
    if contract is not None:
        _check_is_of_contract(model, source.sha256 if source else given.sha256, contract)
    return BuildRequest(
        name=name,
        version=version,
        model=embedded or model,
        facts=facts,
        target=target,
        candidates=tried,
        golden=golden,
        source=source,
        contract=contract.reference if contract else None,
        preprocessing=preprocessing,
    )


def _check_names(name: str, version: str) -> None:
    for key, text in (("name", name), ("version", version)):
        if not is_name(text):
            raise UnsupportedError(
                f"{text!r} cannot be a {key}",
                why="it becomes part of paths on devices",
                hint="take lower-case letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
            )


def _check_is_of_contract(model: Path, sha256: str, contract: Contract) -> None:
    if sha256 != contract.model.sha256:
        raise IntegrityError(
            f"{model} is not the model of the contract, nor made from it",
            why=f"the contract names SHA-256 {contract.model.sha256[:12]}…, and this one comes from {sha256[:12]}…",
            hint="optimize the contract's model, and keep MODEL.evidence.json beside the result: it says what it is of",
        )


def _evidence(model: Path, facts: ModelFacts, progress: Progress) -> Evidence | None:
    """Read how this model was made, if `optimize` left its evidence beside it."""
    path = model.with_name(f"{model.name}.evidence.json")
    try:
        evidence = msgspec.json.decode(read_file(path, EVIDENCE), type=Evidence)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidFileError(
            f"{path} cannot be read as evidence", why=str(error), hint="remove it, or optimize again"
        ) from error
    if evidence.result is None or evidence.result.sha256 != facts.sha256:
        progress.note(f"{path.name} is about another file than {model.name}: left out")
        return None
    return evidence


def _source(evidence: Evidence) -> Source:
    """Return which float model the evidence is about, and what was done to it."""
    return Source(
        sha256=evidence.source.sha256,
        size_bytes=evidence.source.size_bytes,
        parameters=evidence.source.parameters,
        recipe=evidence.recipe,
        evaluation_sha256=evidence.evaluation_sha256,
        metric=evidence.source_metric,
    )
