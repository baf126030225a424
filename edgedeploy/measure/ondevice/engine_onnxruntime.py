"""The runner's engine on onnxruntime; `engine.py` in a bundle. Written for Python 3.9, as the runner is."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Dict, List, Mapping, Sequence, Union

import numpy
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
) -> List[Dict[str, Any]]:
    """What each node of the graph took, over `runs` inferences after one that does not count, by onnxruntime's own
    profiler. It tells of the graph that onnxruntime made of the model. A node is {"name", "operator", "calls", "us"},
    in whole microseconds for each call (https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html).
    """
    with tempfile.TemporaryDirectory(prefix="edgedeploy-profile-") as folder:
        options = options_for(threads, settings)
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for turn in range(1 + runs):
            session.run(None, dict(feeds[turn % len(feeds)]))
        with open(session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
    # Inferences come one after the other; what nodes did before the second one began is the first one's.
    begun = sorted(event["ts"] for event in events if event.get("name") == "model_run")
    nodes: Dict[str, Dict[str, Any]] = {}
    for event in events:
        suffix = "_kernel_time"
        if event.get("cat") != "Node" or not event["name"].endswith(suffix) or event["ts"] < begun[1]:
            continue
        name = event["name"][: -len(suffix)]
        node = nodes.setdefault(name, {"name": name, "operator": event["args"].get("op_name", ""), "calls": 0, "us": 0})
        node["calls"] += 1
        node["us"] += event["dur"]
    return list(nodes.values())


def versions() -> Dict[str, str]:
    return {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}
