"""What the manifest sets in the runtime reaches the runtime."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import msgspec
import onnx.parser
import onnxruntime
import pytest

MODEL = '<ir_version: 8, opset_import: ["" : 17]> m (float[1, 2] x) => (float[1, 2] y) { y = Relu(x) }'


def on_device(name: str) -> ModuleType:
    """A module that is sent to devices, under the name that it has there."""
    source = importlib.resources.files("edgedeploy") / "runner" / "python" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, str(source))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    engine = on_device("engine_onnxruntime")
    engine.Session(model, 3, {"threads": 7, "arena": arena, "memory_pattern": pattern, "graph": "optimized"})
    engine.Session(model, 1, {})
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
    runner, seen = on_device("runner"), []

    class Engine(ModuleType):
        class Session:
            inputs = outputs = ()

            def __init__(self, *arguments: object) -> None:
                seen.append(arguments[1:])

        def versions(self) -> dict[str, str]:
            return {}

    monkeypatch.setattr(runner, "HERE", release.path)
    monkeypatch.setattr(runner, "cores", lambda: 2)
    monkeypatch.setattr(runner.importlib, "import_module", lambda name: Engine(name))
    runner.Release().load(asked)
    assert seen == [(threads, settings)]
    assert json.loads(path.read_bytes())["runtime"]["settings"] == settings
