"""The release that this runner lies in: its model, its facts and its golden samples."""

from __future__ import annotations

import importlib
import json
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from .channel import Arrays, Message, RequestError
from .device import RELEASE, cores


class Release:
    """The model beside this file, its facts and its golden samples."""

    def __init__(self) -> None:
        with open(os.path.join(RELEASE, "manifest.json"), encoding="utf-8") as file:
            self.manifest: Message = json.load(file)
        self.session: Any = None
        self.runtime: Dict[str, str] = {}
        self.outputs: List[str] = [output["name"] for output in self.manifest["model"]["outputs"]]

    def load(self, threads: Optional[int] = None, model: Any = None) -> Tuple[int, int]:
        """Import the engine and load the model, each timed, in nanoseconds.

        `model` is an array of bytes: another model, which is then run in place of the release's own.
        """
        begun = time.perf_counter_ns()
        engine: Any = importlib.import_module("engine")
        imported = time.perf_counter_ns()
        self.session = None
        content = os.path.join(RELEASE, self.manifest["model_file"]) if model is None else model.tobytes()
        settings = self.manifest["runtime"].get("settings", {})
        self.session = engine.Session(content, threads or min(settings.get("threads", cores()), cores()), settings)
        if model is not None:
            self.outputs = list(self.session.outputs)
        self.runtime = engine.versions()
        return imported - begun, time.perf_counter_ns() - imported

    def profile(self, runs: int) -> bytes:
        """The trace of the engine's own profiler, where it has one."""
        engine: Any = importlib.import_module("engine")
        if not hasattr(engine, "profile"):
            raise RequestError("this runtime has no profiler")
        feeds = [self.golden(index)[0] for index in range(self.manifest["golden_samples"])]
        if not feeds:
            raise RequestError("the release has no golden samples")
        settings = self.manifest["runtime"].get("settings", {})
        path = os.path.join(RELEASE, self.manifest["model_file"])
        trace: bytes = engine.profile(path, min(settings.get("threads", cores()), cores()), settings, feeds, runs)
        return trace

    def infer(self, feed: Arrays) -> List[Any]:
        if self.session is None:
            raise RequestError("load the model first")
        outputs: List[Any] = self.session.run(self.outputs, feed)
        return outputs

    def golden(self, index: int) -> Tuple[Arrays, List[Any]]:
        """One golden sample: the feed, and the outputs that were kept."""
        import numpy

        if not 0 <= index < self.manifest["golden_samples"]:
            raise RequestError("there is no golden sample %d" % index)
        path = os.path.join(RELEASE, "golden", "%04d.npz" % index)
        with numpy.load(path, allow_pickle=False) as arrays:
            feed = {key[6:]: as_run(arrays[key]) for key in arrays.files if key.startswith("input:")}
            kept = [as_run(arrays["output:" + name]) for name in self.outputs]
        return feed, kept


def as_run(values: Any) -> Any:
    """An array of a file as a session takes and gives it: text as objects, since numpy's `<U` would be cut at a NUL."""
    return values.astype(object) if values.dtype.kind == "U" else values
