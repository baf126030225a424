"""Makes ready what a backend is given: the model in one file, and golden inputs with the outputs computed here."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgedeploy.compile.golden import write_golden
from edgedeploy.compile.protocol import BackendRequest
from edgedeploy.compile.request import BuildRequest
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.inference.session import arithmetic_note, open_session
from edgedeploy.model.load import read_in_one_piece
from edgedeploy.model.vocabulary import known_words


def stage(request: BuildRequest, scratch: Path, golden: Path, progress: Progress) -> BackendRequest:
    """Write the model into `scratch` and the golden samples into `golden`.

    Raises:
        UnsupportedError: the model does not load here, or golden inputs cannot be made up.
        DatasetError: the golden data does not fit the model.
    """
    facts = request.facts
    model = scratch / f"model.{facts.format}"
    content = read_in_one_piece(request.model)
    write_bytes(model, content)
    # What does not load here will not load there either. Golden outputs are made without graph optimizations, the
    # device runs with them: both must load.
    open_session(content, facts.format, exact=False)
    session = open_session(content, facts.format, exact=True, threads=1)
    note = arithmetic_note(session)
    progress.step("computing golden outputs" + (f" ({note})" if note else ""))
    written = write_golden(
        session,
        facts,
        golden,
        data=request.golden.data,
        samples=request.golden.samples,
        input_shapes=request.golden.input_shapes,
        progress=progress,
        words=_words(content, facts.format) if request.golden.data is None else {},
    )
    return BackendRequest(
        model=model,
        format=facts.format,
        facts=facts,
        target=request.target,
        golden=golden,
        golden_samples=written.samples,
        golden_sources=written.sources,
        input_shapes=written.input_shapes,
    )


def _words(content: bytes, format: ModelFormat) -> dict[str, tuple[str, ...]]:
    return known_words(onnx.load_from_string(content)) if format == "onnx" else {}
