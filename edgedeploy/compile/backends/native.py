"""The backend `native`: compiles a model ahead of time, with a runner in C, into one static executable.

The device needs nothing but its kernel: no Python, no shared library, no runtime. It runs in one thread.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeploy.compile.dependencies.zig import compile_c, static_machine, zig_version
from edgedeploy.compile.protocol import BackendRequest, BuildResult
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.runner import c_sources
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.bundle import Needs, Runtime
from edgedeploy.values.target import Target

if TYPE_CHECKING:
    from edgedeploy.inference.session import Feed

FACTS = BackendFacts(
    name="native",
    rank=40,
    formats=("onnx",),
    architectures=("aarch64", "armv7l", "armv6l", "x86_64"),
    needs_python=False,
    needs_glibc=False,
    profiles=False,
    extra="native",
    host_packages=("ziglang", "emx-onnx-cgen"),
    purpose="programs that need nothing on the board",
)

_RUN = "run"

FLAGS = ("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
"""What makes vector code of loops with roots and conditions in them. NaN and infinities stay what they are."""

_EVERY_AARCH64 = ("fp", "asimd")


class NativeBackend:
    """Satisfies `edgedeploy.compile.protocol.Backend`."""

    def unsupported_reason(self, target: Target, format: ModelFormat) -> str | None:
        try:
            zig_version()
        except HostError as error:
            return f"{error.what} ({error.hint})"
        return None

    def build(self, request: BackendRequest, folder: Path, progress: Progress) -> BuildResult:
        # These import onnx and onnxruntime, which the command line is not to wait for.
        from edgedeploy.compile.native.branches import require_same_branches
        from edgedeploy.compile.native.fuse import fuse
        from edgedeploy.compile.native.prepare import prepare
        from edgedeploy.compile.native.program import write_program
        from edgedeploy.compile.native.quantize import quantize

        target = request.target
        progress.step("writing the model as C")
        feeds = _golden_feeds(request)
        require_same_branches(request.model, feeds)
        graph = prepare(request.model, feeds[0])
        quantize(graph, dot_product="asimddp" in target.cpu.features)
        fuse(graph)
        sources = write_program(graph)
        progress.step(f"compiling it for {target.cpu.core}")
        with scratch_folder(cache_folder() / "scratch") as scratch:
            for name, content in sources.files.items():
                (scratch / name).write_bytes(content)
            runner = c_sources("engine_native.c")
            compile_c(
                [*(scratch / name for name in sources.units), *runner],
                folder / _RUN,
                static_machine(target),
                includes=[runner[0].parent],
                flags=FLAGS,
                progress=progress,
            )
        settings: dict[str, bool | int | str] = {
            "threads": 1,
            "arena_bytes": sources.arena_bytes,
            "weights_bytes": sources.weights_bytes,
            "compiler": f"zig {zig_version()}",
        }
        if sources.generic:
            settings["generator"] = f"emx-onnx-cgen {importlib.metadata.version('emx-onnx-cgen')}"
        runtime = Runtime(backend=FACTS.name, python=None, glibc=None, packages={}, settings=settings)
        # Of 32-bit and x86-64 programs the file itself tells what it needs; a 64-bit Arm one does not.
        features = target.cpu.features if target.architecture == "aarch64" else ()
        needed = tuple(sorted(set(features) - set(_EVERY_AARCH64)))
        needs = Needs(cpu_features=needed, memory_bytes=sources.arena_bytes + sources.weights_bytes)
        return BuildResult(runtime=runtime, model_file=_RUN, runner=_RUN, needs=needs)


BACKEND = NativeBackend()


def _golden_feeds(request: BackendRequest) -> list[Feed]:
    """Read the golden inputs: their one shape is what the program is made for.

    Raises:
        UnsupportedError: others have other shapes.
    """
    from edgedeploy.compile.golden import read_golden, require_one_shape

    feeds: list[Feed] = [read_golden(request.golden, number).inputs for number in range(request.golden_samples)]
    require_one_shape("the native backend", feeds, request.golden_sources)
    return feeds
