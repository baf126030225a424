"""ONNX Runtime in Python: its wheels, numpy, and a runner. The device needs Python 3 and glibc, and no network."""

from __future__ import annotations

from pathlib import Path

from edgedeploy.compile.backends.protocol import Built, Order
from edgedeploy.compile.backends.python_runner import NUMPY_NOT_NEEDED, RUN, lay_out_python_runner
from edgedeploy.files import write_bytes
from edgedeploy.progress import Progress
from edgedeploy.sessions import ModelFormat
from edgedeploy.values.bundle import Needs
from edgedeploy.values.target import Target

_LOCK = Path(__file__).with_name("onnxruntime.lock")
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

_ARCHITECTURES = ("aarch64", "x86_64")


class OnnxruntimeBackend:
    """Satisfies `edgedeploy.compile.backends.protocol.Backend`."""

    name = "onnxruntime"

    def refuses(self, target: Target, format: ModelFormat) -> str | None:
        if format != "onnx":
            return f"onnxruntime runs ONNX models, and this is a .{format} one"
        if target.architecture not in _ARCHITECTURES:
            return f"onnxruntime has no wheels for {target.architecture}, only for {', '.join(_ARCHITECTURES)}"
        return None

    def build(self, order: Order, folder: Path, progress: Progress) -> Built:
        write_bytes(folder / _MODEL, order.model.read_bytes())
        runtime = lay_out_python_runner(
            folder,
            order.target,
            backend=self.name,
            engine="onnxruntime",
            lock=_LOCK,
            leave_out=_NOT_NEEDED,
            environment=_ENVIRONMENT,
            progress=progress,
        )
        return Built(runtime=runtime, model_file=_MODEL, runner=RUN, needs=Needs())


BACKEND = OnnxruntimeBackend()
