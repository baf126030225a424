"""What runs `.tflite` models on a device, held against what runs them on the host."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from support.tflite_models import Builder, small_network

from edgedeploy.compile.python_runner import write_runner
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.model.inspect import inspect_model
from edgedeploy.runner import python
from edgedeploy.values.bundle import Manifest, Runtime

SOURCE = Path(python.__file__).with_name("engine_tflite.py")
IMAGE = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(1, 16, 16, 3)


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    """Loaded as a device loads it: a file, no module of edgedeploy's."""
    spec = importlib.util.spec_from_file_location("engine", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sum_of_two() -> bytes:
    b = Builder()
    left, right = b.input("left", (1, 2), signature=(-1, 2)), b.input("right", (1, 2), signature=(-1, 2))
    return b.finish(b.operator("ADD", [left, right], b.tensor("sum", (1, 2), signature=(-1, 2)), schema.AddOptionsT()))


def quantized() -> bytes:
    """int8 in and out, of two scales."""
    b = Builder()
    x, y = b.input("x", (1, 3), "int8"), b.tensor("y", (1, 3), "int8")
    b.operator("QUANTIZE", [x], y)
    for index, scale, zero in ((x, 0.1, 3), (y, 0.2, -5)):
        b.graph.tensors[index].quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero])
    return b.finish(y)


@pytest.mark.parametrize(
    ("model", "feed"),
    [
        (small_network(), {"image": IMAGE}),
        (small_network(half=True), {"image": IMAGE}),
        (sum_of_two(), {"left": np.ones((1, 2), np.float32), "right": np.ones((1, 2), np.float32)}),
        (sum_of_two(), {"right": np.ones((5, 2), np.float32), "left": np.ones((5, 2), np.float32)}),
        (quantized(), {"x": np.array([[-20, 0.26, 9]], np.float32)}),
        (quantized(), {"x": np.array([[-128, 3, 127]], np.int8)}),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_it_answers_as_the_host_does(engine, tmp_path, model, feed, as_file) -> None:
    (tmp_path / "m.tflite").write_bytes(model)
    session = engine.Session(str(tmp_path / "m.tflite") if as_file else model, 1, {})
    host = TfliteSession(model, exact=False, threads=1)
    assert tuple(session.inputs) == host.input_names and tuple(session.outputs) == host.output_names
    for _ in range(2):
        for found, wanted in zip(session.run(session.outputs, feed), host.run(feed), strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "feed",
    [
        {"left": np.ones((1, 3), np.float32), "right": np.ones((1, 2), np.float32)},
        {"left": np.ones(2, np.float32), "right": np.ones((1, 2), np.float32)},
        {"left": np.ones((1, 2)), "right": np.ones((1, 2), np.float32)},
    ],
)
def test_what_does_not_fit_is_said_and_the_next_feed_runs(engine, feed) -> None:
    session = engine.Session(sum_of_two(), 1, {})
    with pytest.raises(ValueError, match="input left"):
        session.run(["sum"], feed)
    good = {"left": np.ones((3, 2), np.float32), "right": np.ones((3, 2), np.float32)}
    np.testing.assert_array_equal(session.run(["sum"], good)[0], 2 * np.ones((3, 2)))


def test_it_names_its_runtime(engine) -> None:
    assert engine.versions() == {"ai-edge-litert": engine.importlib.metadata.version("ai-edge-litert"), "numpy": np.__version__}  # fmt: skip  # noqa: E501


@pytest.mark.slow
def test_the_runner_checks_a_release_with_it(tmp_path, rng) -> None:
    model = small_network()
    (tmp_path / "model.tflite").write_bytes(model)
    (tmp_path / "golden").mkdir()
    feed = {"image": rng.random((1, 16, 16, 3), np.float32)}
    (logits,) = TfliteSession(model, exact=True).run(feed)
    write_runner(tmp_path, "tflite")
    manifest = Manifest(
        schema=1, name="m", version="1", target="x86-64", architecture="x86_64", model_file="model.tflite",
        model=inspect_model(tmp_path / "model.tflite"), runner="run", golden_samples=1, source=None, tools={}, files=(),
        runtime=Runtime(backend="tflite", python=None, glibc=None, packages={}),
    )  # fmt: skip
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    for kept, healthy in ((logits, True), (-logits, False)):
        np.savez(tmp_path / "golden/0000.npz", **{"input:image": feed["image"], "output:logits": kept})
        done = subprocess.run(
            [sys.executable, "-s", "-B", tmp_path / "runner.py", "check"], capture_output=True, check=False
        )
        said = json.loads(done.stdout)
        assert (said["healthy"], done.returncode) == (healthy, int(not healthy)), said
