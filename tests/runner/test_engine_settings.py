"""What the manifest sets in the runtime reaches the runtime."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import onnx.parser
import onnxruntime
import pytest

from edgedeploy.runner.python import engine_onnxruntime
from edgedeploy.runner.python import release as on_device

MODEL = '<ir_version: 8, opset_import: ["" : 17]> m (float[1, 2] x) => (float[1, 2] y) { y = Relu(x) }'


@pytest.mark.parametrize("arena", [True, False])
@pytest.mark.parametrize("pattern", [True, False])
def test_onnxruntime_gets_them(monkeypatch, arena, pattern):
    seen = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, model: object, options: onnxruntime.SessionOptions, **rest: object) -> None:
            seen.append((options.intra_op_num_threads, options.enable_cpu_mem_arena, options.enable_mem_pattern))
            super().__init__(model, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    model = onnx.parser.parse_model(MODEL).SerializeToString()
    engine_onnxruntime.Session(
        model, 3, {"threads": 7, "arena": arena, "memory_pattern": pattern, "graph": "optimized"}
    )
    engine_onnxruntime.Session(model, 1, {})
    assert seen == [(3, arena, pattern), (1, True, True)]


@pytest.mark.parametrize(
    ("settings", "asked", "threads"),
    [({"threads": 4}, None, 2), ({"threads": 1}, None, 1), ({}, None, 2), ({"threads": 1}, 5, 5)],
)
def test_threads_are_those_of_the_target_unless_there_are_fewer(make_release, monkeypatch, settings, asked, threads):
    release = make_release()
    path = Path(release.path, "manifest.json")
    runtime = msgspec.structs.replace(release.manifest.runtime, settings=settings)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(release.manifest, runtime=runtime)))
    seen = []

    class Engine(ModuleType):
        class Session:
            inputs = outputs = ()

            def __init__(self, *arguments: object) -> None:
                seen.append(arguments[1:])

        def versions(self) -> dict[str, str]:
            return {}

    monkeypatch.setattr(on_device, "RELEASE", release.path)
    monkeypatch.setattr(on_device, "cores", lambda: 2)
    monkeypatch.setitem(sys.modules, "engine", Engine("engine"))
    on_device.Release().load(asked)
    assert seen == [(threads, settings)]
    assert json.loads(path.read_bytes())["runtime"]["settings"] == settings
