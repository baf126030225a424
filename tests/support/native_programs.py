"""Models compiled ahead of time, run on this machine: programs for Arm under QEMU's user mode."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgedeploy.compile.backends.native import FLAGS
from edgedeploy.compile.dependencies.zig import compile_c, static_machine
from edgedeploy.compile.native.fuse import fuse
from edgedeploy.compile.native.graph import Graph
from edgedeploy.compile.native.prepare import prepare
from edgedeploy.compile.native.program import Sources, write_program
from edgedeploy.compile.native.quantize import quantize
from edgedeploy.foundation.progress import SILENT
from edgedeploy.runner import c_headers
from edgedeploy.targets.load import load_target

Feed = Mapping[str, np.ndarray]

RUNNERS = {
    "x86-64": (),
    "rpi4": ("qemu-aarch64-static", "-cpu", "cortex-a72"),
    "rpi5": ("qemu-aarch64-static", "-cpu", "max"),
    "rpi2": ("qemu-arm-static", "-cpu", "cortex-a7"),
    "generic-armv7": ("qemu-arm-static", "-cpu", "cortex-a7,neon=off"),
    "rpi-zero": ("qemu-arm-static", "-cpu", "arm1176"),
}
"""What runs a program for each target here."""

_HEADERS = c_headers()
_MAIN = Path(__file__).with_name("run_once.c")


def sources_of(model: onnx.ModelProto, feed: Feed, *, dot_product: bool = False) -> tuple[Graph, Sources]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx.save(model, path)
        graph = prepare(path, feed)
    quantize(graph, dot_product=dot_product)
    fuse(graph)
    return graph, write_program(graph)


def run_natively(model: onnx.ModelProto, feed: Feed, target: str, folder: Path) -> list[np.ndarray]:
    """The model's outputs, from a program for the target. The test that calls it is marked `keeps_cache`: zig compiles
    a C library the first time."""
    runner = RUNNERS[target]
    if runner and shutil.which(runner[0]) is None:
        pytest.fail(f"{runner[0]} is missing: apt-get install qemu-user-static")
    found = load_target(target)
    graph, sources = sources_of(model, feed, dot_product="asimddp" in found.cpu.features)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sources.files.items():
        (folder / name).write_bytes(content)
    program = folder / "program"
    units = [*(folder / name for name in sources.units), _MAIN]
    compile_c(units, program, static_machine(found), includes=[_HEADERS], flags=FLAGS, progress=SILENT)
    given = b"".join(np.ascontiguousarray(feed[value.name]).tobytes() for value in graph.inputs)
    done = subprocess.run([*runner, str(program)], input=given, capture_output=True, check=True, timeout=120)
    arrays, at = [], 0
    for value in graph.outputs:
        size = value.size * value.dtype.itemsize
        arrays.append(np.frombuffer(done.stdout[at : at + size], value.dtype).reshape(value.shape))
        at += size
    assert at == len(done.stdout)
    return arrays


def run_exactly(model: onnx.ModelProto, feed: Feed) -> list[np.ndarray]:
    """The outputs as onnxruntime computes them, without any optimization."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, dict(feed))
    return found
