"""Keeps every ONNX model that the tests save or hand to a pass, and draws some that nobody wrote.

As a pytest plugin (`-p benchmarks.recorded_models`) it writes each model to the folder that the environment variable
`RECORDED_MODELS` names, once: models with the same operators, shapes and types are the same to it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir

_FOLDER = "RECORDED_MODELS"
_ROOMS = ("model", "inference", "optimize", "compile", "datasets", "measure", "workflows", "cli")
_MOST_BYTES = 4 << 20
_TIMEOUT_S = 900


def record(folder: Path) -> None:
    """Run the tests that make models and need no board, and keep the models in `folder`.

    Raises:
        subprocess.TimeoutExpired: the tests take over 15 minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tests = [f"tests/{room}" for room in _ROOMS]
    plugins = ["-p", "benchmarks.recorded_models", "-p", "no:cacheprovider"]
    # Whether they pass is another script's question.
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not emulated and not keeps_cache", *plugins, *tests],
        env=os.environ | {_FOLDER: str(folder)},
        stdout=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
        check=False,
    )


def draw(folder: Path, count: int) -> None:
    """Write `count` models of random topologies, the same ones each time."""
    from hypothesis import HealthCheck, given, settings

    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    models = importlib.import_module("support.drawn_graphs").models

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(models())
    def keep(model: onnx.ModelProto) -> None:
        _keep(model, folder)

    keep()


def pytest_configure() -> None:
    """Record from here on, in this process. pytest calls it."""
    if folder := os.environ.get(_FOLDER):
        for module, name in ((onnx, "save"), (onnx, "save_model"), (onnx_ir, "from_proto")):
            setattr(module, name, _recording(getattr(module, name), Path(folder)))


def _recording(function: Callable[..., object], folder: Path) -> Callable[..., object]:
    @functools.wraps(function)
    def recording(proto: object, *arguments: object, **settings: object) -> object:
        if isinstance(proto, onnx.ModelProto) and proto.ByteSize() <= _MOST_BYTES:
            _keep(proto, folder)
        return function(proto, *arguments, **settings)

    return recording


def _keep(model: onnx.ModelProto, folder: Path) -> None:
    content = model.SerializeToString()
    path = folder / f"{_kind(model)}.onnx"
    if not path.exists():
        path.write_bytes(content)


def _kind(model: onnx.ModelProto) -> str:
    """A name that two models share when only the numbers in their weights and the names of values differ."""
    graph = model.graph
    names: dict[str, int] = {"": -1}

    def number(name: str) -> int:
        return names.setdefault(name, len(names))

    parts: list[object] = [[(each.domain, each.version) for each in model.opset_import]]
    parts += [(number(value.name), str(value.type)) for value in graph.input]
    parts += [(number(tensor.name), tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer]
    for node in graph.node:
        places = [number(name) for name in (*node.input, *node.output)]
        attributes = [str(each) for each in node.attribute if each.type != onnx.AttributeProto.TENSOR]
        parts.append((node.domain, node.op_type, places, attributes))
    parts += [(function.domain, function.name) for function in model.functions]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
