"""ONNX Runtime without Python: the shared library out of its wheel, and a runner in C that is compiled for the board.

For boards that have no Python, and for half the memory where they do. The device needs glibc and libstdc++.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgedeploy.compile.backends.onnxruntime import graph_for, needs_of, settings_for
from edgedeploy.compile.dependencies.wheels import is_licence, lay_out_wheels
from edgedeploy.compile.dependencies.zig import compile_c, dynamic_machine, zig_version
from edgedeploy.compile.protocol import BackendRequest, BuildResult
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.files import cache_folder, write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.runner import c_sources
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.bundle import Runtime
from edgedeploy.values.target import Target

FACTS = BackendFacts(
    name="onnxruntime-c",
    rank=20,
    formats=("onnx",),
    architectures=("aarch64", "x86_64"),
    needs_python=False,
    needs_glibc=True,
    profiles=True,
    onnxruntime_operators=True,
    text=True,
    locks=("onnxruntime.lock",),
    extra="native",
    host_packages=("ziglang",),
    purpose="the runner without Python",
)

_LOCK = Path(__file__).with_name(FACTS.locks[0])
_MODEL = "model.onnx"
_RUN = "run"
_LIBRARY = "runtime/libonnxruntime.so.1"

# What of the wheels does not even have to be unpacked to find the library in it.
_NOT_NEEDED = (
    *("numpy*", "onnxruntime/*.py", "onnxruntime/capi/onnxruntime_pybind11_state*"),
    "onnxruntime/capi/*providers_shared*",
)


class OnnxruntimeCBackend:
    """Satisfies `edgedeploy.compile.protocol.Backend`."""

    def unsupported_reason(self, target: Target, format: ModelFormat) -> str | None:
        try:
            zig_version()
        except HostError as error:
            return f"{error.what} ({error.hint})"
        return None

    def build(self, request: BackendRequest, folder: Path, progress: Progress) -> BuildResult:
        target = request.target
        content, graph = graph_for(request, progress)
        write_bytes(folder / _MODEL, content)
        packages, glibc = _lay_out_library(target, folder, progress)
        progress.step(f"compiling the runner for {target.cpu.core}")
        compile_c(
            c_sources("engine_ort.c"),
            folder / _RUN,
            dynamic_machine(target),
            libraries=("m", "dl"),
            progress=progress,
        )
        runtime = Runtime(
            backend=FACTS.name,
            python=None,
            glibc=glibc,
            packages=packages,
            settings={**settings_for(target), "graph": graph, "compiler": f"zig {zig_version()}"},
        )
        return BuildResult(runtime=runtime, model_file=_MODEL, runner=_RUN, needs=needs_of(request))


BACKEND = OnnxruntimeCBackend()


def _lay_out_library(target: Target, folder: Path, progress: Progress) -> tuple[dict[str, str], str]:
    """Copy the library into the bundle, with its metadata and licences; return its version and its glibc."""
    with scratch_folder(cache_folder() / "scratch") as scratch:
        wheels = scratch / "wheels"
        layout = lay_out_wheels(
            _LOCK,
            wheels,
            architecture=target.architecture,
            python=target.os.python,
            glibc=target.os.glibc,
            leave_out=_NOT_NEEDED,
            progress=progress,
        )
        found = sorted((wheels / "onnxruntime" / "capi").glob("libonnxruntime.so.*"))
        if not found:
            raise HostError("the wheel of onnxruntime has no shared library in it")
        (folder / _LIBRARY).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[0], folder / _LIBRARY)
        described = [*wheels.glob("onnxruntime-*.dist-info/*"), *(wheels / "onnxruntime").glob("*")]
        for file in (path for path in described if path.name == "METADATA" or is_licence(path.name)):
            place = folder / "runtime" / file.relative_to(wheels)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return {"onnxruntime": layout.packages["onnxruntime"]}, layout.glibc
