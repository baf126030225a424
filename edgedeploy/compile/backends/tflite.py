"""TensorFlow Lite in Python: ai-edge-litert where it has wheels, else its predecessor tflite-runtime, and a runner.

`.tflite` models are taken as they are; ONNX models are converted (see `onnx_to_tflite`).
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from edgedeploy.compile.dependencies import debian_numpy
from edgedeploy.compile.dependencies.wheels import More
from edgedeploy.compile.protocol import BackendRequest, BuildResult
from edgedeploy.compile.python_runner import NUMPY_NOT_NEEDED, RUN, lay_out_python_runner
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import MODEL, PINNED, read_file, read_text
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.bundle import Needs
from edgedeploy.values.target import Architecture, Target

_MODEL = "model.tflite"


class LiteRuntime(Struct, frozen=True, kw_only=True):
    """A package that runs such models, and where it has wheels."""

    name: str
    lock: str
    """File beside this one."""
    architectures: tuple[Architecture, ...]
    oldest: tuple[int, int]
    """The first minor version of Python that has wheels, of the runtime and of the numpy that goes with it."""
    newest: tuple[int, int]
    not_needed: tuple[str, ...]
    numpy: More | None = None
    """Where it has no wheel."""

    def serves(self, target: Target) -> bool:
        return target.architecture in self.architectures and self.oldest <= _version(target.os.python) <= self.newest

    def __str__(self) -> str:
        pythons = " to ".join(f"{major}.{minor}" for major, minor in sorted({self.oldest, self.newest}))
        return f"{self.name} for Python {pythons} on {', '.join(self.architectures)}"


_RUNTIMES = (
    LiteRuntime(
        name="ai-edge-litert",
        lock="ai_edge_litert.lock",
        architectures=("aarch64", "x86_64"),
        oldest=(3, 11),
        newest=(3, 14),
        # The interpreter is one extension module and the library that it is linked to. Beside these lie the C library
        # for programs in C, an accelerator for browsers' graphics, converters, and vendors' compilers.
        not_needed=(
            *("ai_edge_litert/aot/*", "ai_edge_litert/tflite/*", "ai_edge_litert/tools/*", "ai_edge_litert/vendors/*"),
            *("ai_edge_litert/libLiteRt*.so", "ai_edge_litert/*_pb2.py", "ai_edge_litert/schema_py_generated.py"),
        ),
    ),
    LiteRuntime(
        name="tflite-runtime",
        lock="tflite_runtime.lock",
        architectures=("aarch64", "x86_64"),
        oldest=(3, 9),
        newest=(3, 11),
        not_needed=(),
    ),
    LiteRuntime(
        name="tflite-runtime",
        lock="tflite_runtime_armv7l.lock",
        architectures=("armv7l",),
        oldest=(3, 11),
        newest=(3, 11),
        not_needed=(),
        numpy=More(key=read_text(debian_numpy.LOCK, PINNED), lay_out=debian_numpy.lay_out_debian_numpy),
    ),
)
"""In order of preference."""

FACTS = BackendFacts(
    name="tflite",
    rank=30,
    formats=("onnx", "tflite"),
    converts=("onnx",),
    architectures=tuple(sorted({name for runtime in _RUNTIMES for name in runtime.architectures})),
    needs_python=True,
    needs_glibc=True,
    profiles=False,
    locks=tuple(runtime.lock for runtime in _RUNTIMES),
    extra="tflite",
    host_packages=("ai-edge-litert",),
    purpose=".tflite models",
)


class TfliteBackend:
    """Satisfies `edgedeploy.compile.protocol.Backend`."""

    def unsupported_reason(self, target: Target, format: ModelFormat) -> str | None:
        if runtime_for(target) is None:
            return (
                f"there is no TensorFlow Lite for Python {target.os.python} on {target.architecture}; there is "
                + ", and ".join(map(str, _RUNTIMES))
            )
        return None

    def build(self, request: BackendRequest, folder: Path, progress: Progress) -> BuildResult:
        chosen = runtime_for(request.target)
        assert chosen is not None, "a target that is refused"
        if request.format == "onnx":
            from edgedeploy.compile.onnx_to_tflite.conversion import to_tflite

            converted = to_tflite(
                request.model, request.golden, request.golden_samples, progress, sources=request.golden_sources
            )
            tolerance = converted.tolerance
            progress.note(
                f"converted to TensorFlow Lite; its answers differ by {converted.difference:.1g} of their size at most "
                f"({tolerance.relative:g} is allowed for a {tolerance.what} model)"
            )
            write_bytes(folder / _MODEL, converted.content)
        else:
            write_bytes(folder / _MODEL, read_file(request.model, MODEL))
        runtime = lay_out_python_runner(
            folder,
            request.target,
            backend=FACTS.name,
            engine="tflite",
            lock=Path(__file__).with_name(chosen.lock),
            leave_out=(
                *chosen.not_needed,
                "*.dist-info/entry_points.txt",
                "*.dist-info/top_level.txt",
                *NUMPY_NOT_NEEDED,
            ),
            environment={},
            progress=progress,
            more=chosen.numpy,
            libraries=debian_numpy.LIBRARIES if chosen.numpy else "",
        )
        return BuildResult(runtime=runtime, model_file=_MODEL, runner=RUN, needs=Needs())


BACKEND = TfliteBackend()


def runtime_for(target: Target) -> LiteRuntime | None:
    """Choose the package that runs models on the target; None when none has wheels for its architecture and Python."""
    return next((runtime for runtime in _RUNTIMES if runtime.serves(target)), None)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
