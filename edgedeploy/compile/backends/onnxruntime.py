"""ONNX Runtime in Python: its wheels, numpy, and a runner. The device needs Python 3 and glibc, and no network."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from msgspec import structs

from edgedeploy.compile.protocol import BackendRequest, BuildResult
from edgedeploy.compile.python_runner import NUMPY_NOT_NEEDED, RUN, lay_out_python_runner
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import MODEL, PINNED, read_file, read_text
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.bundle import Needs
from edgedeploy.values.target import Target

FACTS = BackendFacts(
    name="onnxruntime",
    rank=10,
    formats=("onnx",),
    architectures=("aarch64", "x86_64"),
    needs_python=True,
    needs_glibc=True,
    profiles=True,
    onnxruntime_operators=True,
    text=True,
    locks=("onnxruntime.lock",),
)

_LOCK = Path(__file__).with_name(FACTS.locks[0])
_MODEL = "model.onnx"

# Beyond what is left out of every package. The C library is for C programs: the Python module holds all of it too.
_NOT_NEEDED = (
    *("onnxruntime/backend/*", "onnxruntime/datasets/*", "onnxruntime/quantization/*", "onnxruntime/tools/*"),
    *("onnxruntime/transformers/*", "onnxruntime/capi/libonnxruntime.so*"),
    *("*.dist-info/entry_points.txt", "*.dist-info/top_level.txt"),
    *NUMPY_NOT_NEEDED,
)

# Nothing that happens on a device is reported to onnxruntime's maker, unless its owner says so.
_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}

_LITTLE_MEMORY_MB = 512


class OnnxruntimeBackend:
    """Satisfies `edgedeploy.compile.protocol.Backend`."""

    def unsupported_reason(self, target: Target, format: ModelFormat) -> str | None:
        return None

    def build(self, request: BackendRequest, folder: Path, progress: Progress) -> BuildResult:
        content, graph = graph_for(request, progress)
        write_bytes(folder / _MODEL, content)
        runtime = lay_out_python_runner(
            folder,
            request.target,
            backend=FACTS.name,
            engine="onnxruntime",
            lock=_LOCK,
            leave_out=_NOT_NEEDED,
            environment=_ENVIRONMENT,
            progress=progress,
        )
        runtime = structs.replace(runtime, settings={**settings_for(request.target), "graph": graph})
        return BuildResult(runtime=runtime, model_file=_MODEL, runner=RUN, needs=needs_of(request))


BACKEND = OnnxruntimeBackend()


def needs_of(request: BackendRequest) -> Needs:
    """What the model itself asks of a device, whichever runner loads it there."""
    import onnx

    from edgedeploy.model.locale_needs import needed_locales

    return Needs(locales=needed_locales(onnx.load_from_string(read_file(request.model, MODEL))))


def graph_for(request: BackendRequest, progress: Progress) -> tuple[bytes, str]:
    """The model as it is sent to run on the onnxruntime of the lock file: optimized for the target where that is sound
    (`optimized_graph`), else as it is. And which of both, in words for the manifest."""
    # It imports onnx, which whoever only reads the facts is not to wait for.
    from edgedeploy.compile.optimized_graph import optimized_graph

    progress.step("optimizing the graph for the target")
    here = importlib.metadata.version("onnxruntime")
    locked = locked_version()
    if here != locked:
        # A newer one may save operators that an older one does not have.
        content, reason = None, f"onnxruntime here is {here}, and the board gets {locked}"
    else:
        content, reason = optimized_graph(request.model, request.target.architecture, request.golden)
    if content is None:
        progress.note(f"the graph stays as it is: {reason}")
        return read_file(request.model, MODEL), f"as it came: {reason}"
    return content, "optimized"


def settings_for(target: Target) -> dict[str, bool | int | str]:
    """What the runner sets in onnxruntime on a board of this kind; docs/bundles.md has the figures behind it.

    The arena stays: without it each tensor is a `malloc` of its own, and peaks were higher where they differed at all
    (SqueezeNet on an emulated Cortex-A72: 81 MB in place of 69). The memory pattern is one block for all tensors of an
    inference, which comes beside those of the first one: without it the peak was up to 12 % lower (a text detector: 90
    MB in place of 102) and never higher, for at most 2 % more instructions. Boards that are sold with little memory go
    without it.
    """
    return {
        "threads": target.cpu.cores,
        "arena": True,
        "memory_pattern": min(target.memory_mb) > _LITTLE_MEMORY_MB,
    }


def locked_version() -> str:
    """The version of onnxruntime that boards get."""
    found = re.search(r"^onnxruntime==(\S+)", read_text(_LOCK, PINNED), re.MULTILINE)
    assert found is not None, f"{_LOCK} locks no onnxruntime"
    return found[1]
