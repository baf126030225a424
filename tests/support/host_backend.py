"""Bundles for this machine, with the real runner under the Python that runs the tests: without wheels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgedeploy.compile.protocol import BuildResult
from edgedeploy.compile.python_runner import write_runner
from edgedeploy.values.bundle import Bundle, Needs, Runtime

CLASSIFIER = """
    <ir_version: 8, opset_import: ["" : 17]>
    model (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}> { y = MatMul(x, w) }
"""


class HostBackend:
    name = "onnxruntime"

    def unsupported_reason(self, target, format):
        return None

    def build(self, order, folder, progress):
        (folder / "model.onnx").write_bytes(order.model.read_bytes())
        write_runner(folder, "onnxruntime")
        script = (
            f'#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\nexec "{sys.executable}" -s -B "$here/runner.py" "$@"\n'
        )
        (folder / "run").write_text(script)
        (folder / "run").chmod(0o755)
        runtime = Runtime(backend=self.name, python=None, glibc=None, packages={})
        return BuildResult(runtime=runtime, model_file="model.onnx", runner="run", needs=Needs())


def host_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> Bundle:
    """A bundle of `CLASSIFIER` in `folder`, named after it."""
    import edgedeploy.compile.backends.onnxruntime as backend
    from edgedeploy import api

    monkeypatch.setattr(backend, "BACKEND", HostBackend())
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = folder.parent / "model.onnx"
    model.write_bytes(onnx.parser.parse_model(CLASSIFIER).SerializeToString())
    np.savez(folder.parent / "golden.npz", x=np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32))
    golden = str(folder.parent / "golden.npz")
    return api.compile(model, api.load_target("x86-64"), folder, golden=golden, backend="onnxruntime", **settings)
