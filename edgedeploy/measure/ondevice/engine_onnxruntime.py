"""The runner's engine on onnxruntime; `engine.py` in a bundle. Written for Python 3.9, as the runner is."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Union

import numpy
import onnxruntime


class Session:
    """A model that is loaded and ready to run.

    `inputs` and `outputs` are names in the model's order; `run(outputs, feed)` takes the names of those that are wanted
    and arrays by name, and gives arrays.
    """

    def __init__(self, model: Union[str, bytes], threads: int, settings: Mapping[str, Any]) -> None:
        """`model` is a path, or the bytes of a model; `settings` are the manifest's: "arena", "memory_pattern"."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin between inferences disturb the measurement, and the application on the board.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = bool(settings.get("arena", True))
        options.enable_mem_pattern = bool(settings.get("memory_pattern", True))
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = [taken.name for taken in session.get_inputs()]
        self.outputs = [given.name for given in session.get_outputs()]
        # onnxruntime's own, not wrapped: nothing of ours is timed with it.
        self.run = session.run


def versions() -> Dict[str, str]:
    return {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}
