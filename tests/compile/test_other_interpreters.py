"""The same inputs give the same bytes, whichever Python edgedeploy runs on."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgedeploy.foundation.validation import is_sha256

_ROOT = Path(__file__).parents[2]
_VERSIONS = ("3.14", "3.13", "3.12", "3.11")
_TIMEOUT_S = 300

# Convolutions, a matrix product and a mean: weights that are searched for scales, sums in several orders.
_MODEL = """\
<ir_version: 8, opset_import: ["" : 17]>
network (float[1, 8, 16, 16] x) => (float[1, 10] scores) {
    first = Conv <pads = [1, 1, 1, 1]> (x, w1)
    active = Relu (first)
    second = Conv <pads = [1, 1, 1, 1], group = 16> (active, w2)
    pooled = GlobalAveragePool (second)
    flat = Flatten (pooled)
    logits = Gemm (flat, w3, b3)
    scores = Softmax (logits)
}
"""


def _other_interpreter() -> Path | None:
    """The newest Python on this machine of another minor version than the one that runs the tests."""
    own = "{}.{}".format(*sys.version_info[:2])
    # The real home: a test has one of its own.
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    for version in _VERSIONS:
        found = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python3")))]
        for candidate in found if version != own else ():
            # A version manager's shim has the name and may run nothing.
            script = "import sys, venv; print(*sys.version_info[:2], sep='.')"
            run = [candidate, "-I", "-c", script] if candidate else ["false"]
            asked = subprocess.run(run, capture_output=True, text=True, timeout=30, check=False)
            if candidate and asked.stdout.strip() == version:
                return Path(candidate)
    return None


def _edgedeploy_on(interpreter: Path, folder: Path) -> Path:
    """Install edgedeploy with its pinned packages for another interpreter. Returns its command."""
    uv = Path(sys.executable).with_name("uv")
    environment = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME"}}
    environment |= {"UV_SYSTEM_CERTS": "true"} if Path("/etc/ssl/certs/ca-certificates.crt").exists() else {}
    what = ["--constraint", str(_ROOT / "requirements-dev.lock"), "--editable", f"{_ROOT}[native]"]
    for command in (
        ["venv", "--quiet", "--no-project", "--python", str(interpreter), str(folder)],
        ["pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *what],
    ):
        subprocess.run([uv, *command], check=True, timeout=_TIMEOUT_S, env=environment)
    return folder / "bin" / "edgedeploy"


def _model(folder: Path, rng: np.random.Generator) -> Path:
    model = onnx.parser.parse_model(_MODEL)
    for name, shape in (("w1", (16, 8, 3, 3)), ("w2", (16, 1, 3, 3)), ("w3", (16, 10)), ("b3", (10,))):
        weight = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "data.npz", x=rng.normal(size=(32, 8, 16, 16)).astype(np.float32))
    return folder / "model.onnx"


def _build(edgedeploy: Path, model: Path, folder: Path, backend: str) -> str:
    """Quantize and compile with one of the two. Returns the bundle's SHA-256."""
    folder.mkdir()
    small, data = folder / "small.onnx", model.with_name("data.npz")
    allowed = [part for what in ("slower", "loss", "larger") for part in ("--allow", what)]
    told = ["--calibration", data, "--evaluation", data, *allowed]
    for command in (
        ["optimize", model, "--recipe", "int8", *told, "-o", small],
        ["compile", small, "--target", "rpi4", "--backend", backend, "--golden", data, "-o", folder / "bundle"],
    ):
        subprocess.run([edgedeploy, *command, "-q"], check=True, timeout=_TIMEOUT_S, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        [edgedeploy, "bundle", "show", folder / "bundle", "--json"], check=True, timeout=60, capture_output=True
    )
    return str(json.loads(shown.stdout)["sha256"])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """edgedeploy on another interpreter."""
    interpreter = _other_interpreter()
    if interpreter is None:
        pytest.skip(f"this machine has no other Python of {', '.join(_VERSIONS)}")
    return _edgedeploy_on(interpreter, tmp_path_factory.mktemp("other"))


@pytest.mark.slow
@pytest.mark.keeps_cache
# The other one's compiler makes a C library of its own, a minute's work.
@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("native", marks=pytest.mark.long)])
def test_another_interpreter_builds_the_same_bundle(backend: str, other: Path, tmp_path, rng):
    model = _model(tmp_path, rng)
    built = _build(Path(sys.executable).with_name("edgedeploy"), model, tmp_path / "own", backend)
    assert is_sha256(built)
    assert _build(other, model, tmp_path / "another", backend) == built
