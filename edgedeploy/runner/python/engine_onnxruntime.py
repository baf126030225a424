"""The runner's engine on onnxruntime; `engine.py` in a bundle. Written for Python 3.9, as the runner is."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Dict, Mapping, Sequence, Union

import numpy

# onnxruntime's wheels report to their maker unless this is set before they are loaded (Privacy.md in the package).
# `run` sets it too; a runner that is started otherwise is to be as quiet.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime


class Session:
    """A model that is loaded and ready to run.

    `inputs` and `outputs` are names in the model's order; `run(outputs, feed)` takes the names of those that are wanted
    and arrays by name, and gives arrays.
    """

    def __init__(self, model: Union[str, bytes], threads: int, settings: Mapping[str, Any]) -> None:
        """`model` is a path, or the bytes of a model; `settings` are the manifest's: "arena", "memory_pattern"."""
        self._begin(model, options_for(threads, settings))

    def _begin(self, model: Union[str, bytes], options: Any) -> None:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = [taken.name for taken in session.get_inputs()]
        self.outputs = [given.name for given in session.get_outputs()]
        # onnxruntime's own, not wrapped: nothing of ours is timed with it.
        self.run = session.run


def options_for(threads: int, settings: Mapping[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin between inferences disturb the measurement, and the application on the board.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = bool(settings.get("arena", True))
    options.enable_mem_pattern = bool(settings.get("memory_pattern", True))
    return options


def profile(
    model: Union[str, bytes], threads: int, settings: Mapping[str, Any], feeds: Sequence[Mapping[str, Any]], runs: int
) -> bytes:
    """The trace of `runs` inferences after one that does not count, by onnxruntime's own profiler, as it wrote it."""
    with tempfile.TemporaryDirectory(prefix="edgedeploy-profile-") as folder:
        options = options_for(threads, settings)
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for turn in range(1 + runs):
            session.run(None, dict(feeds[turn % len(feeds)]))
        with open(session.end_profiling(), "rb") as file:
            return file.read()


def versions() -> Dict[str, str]:
    return {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}
