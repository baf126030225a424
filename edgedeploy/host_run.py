"""Running a model on this machine, in exact arithmetic or with its own integer kernels."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedeploy.errors import DatasetError, InvalidFileError, UnsupportedError

Array = NDArray[Any]


class HostSession:
    """An onnxruntime session on the CPU of this machine.

    Args:
        model: a file, or the serialized model.
        exact: evaluate each quantize/dequantize pair in float, as written, instead of fusing it into an integer kernel
            (`ORT_DISABLE_ALL`): what a kernel without saturation or rounding of its own would give. A host's integer
            kernels may saturate where the board's do not.
        threads: for one operator; None lets onnxruntime choose.

    Raises:
        InvalidFileError: the file is missing or not a model.
        UnsupportedError: onnxruntime cannot load the model.
    """

    def __init__(self, model: Path | bytes, *, exact: bool, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors also come as exceptions; said once is enough
        if exact:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if threads is not None:
            options.intra_op_num_threads = threads
        name = "the model" if isinstance(model, bytes) else str(model)
        if isinstance(model, Path) and not model.is_file():
            raise InvalidFileError(f"{model} is not a file", mend="check the path")
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            kind = InvalidFileError if "INVALID_PROTOBUF" in str(error) else UnsupportedError
            raise kind(f"onnxruntime {onnxruntime.__version__} does not load {name}", why=_first_line(error)) from error
        self.output_names: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """One inference: the outputs in the model's order.

        Raises:
            DatasetError: the model fails on this feed.
        """
        try:
            return [np.asarray(output) for output in self._session.run(None, dict(feed))]
        except Exception as error:
            shapes = {name: array.shape for name, array in feed.items()}
            raise DatasetError(f"the model fails on inputs of shapes {shapes}", why=_first_line(error)) from error


def host_isa() -> str:
    """What decides this machine's integer kernels, e.g. `"x86_64 avx2, no vnni"`.

    onnxruntime's x86 kernels for U8S8 add pairs of products in 16 bits and saturate unless the CPU has VNNI
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8).
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    features: set[str] = set()
    for line in text.splitlines():
        if line.lower().startswith(("flags", "features")):
            features.update(line.partition(":")[2].split())
    machine = platform.machine()
    if machine == "x86_64":
        widest = next((name for name in ("avx512bw", "avx2", "sse4_1") if name in features), "sse2")
        vnni = any(name in features for name in ("avx512_vnni", "avx_vnni"))
        return f"x86_64 {widest}, {'vnni' if vnni else 'no vnni'}"
    if machine == "aarch64":
        named = [name for name in ("asimddp", "i8mm", "sve") if name in features]
        return f"aarch64 {' '.join(named) or 'asimd, no dot product'}"
    return machine


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
