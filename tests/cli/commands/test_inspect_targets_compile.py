from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

MODEL = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    linear (float[N, T, 3] x) => (float[N, T, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }
""")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path):
    """Where `m.onnx` and `data.npz` lie."""
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(MODEL.SerializeToString())
    np.savez("data.npz", x=np.ones((3, 5, 3), np.float32))


def test_inspect(edgedeploy):
    code, out, _ = edgedeploy("inspect", "m.onnx")
    assert code == 0
    assert "x: float32 (N, T, 3)" in out
    assert "depend on the dynamic input x (1, T, 3)" in out
    code, out, _ = edgedeploy("inspect", "m.onnx", "--input-shape", "x=1x5x3", "--json")
    facts = json.loads(out)
    assert (code, facts["macs"], facts["parameters"]) == (0, 30, 6)
    assert list(facts)[:4] == ["format", "sha256", "size_bytes", "producer"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["none.onnx"], 3, "does not exist"),
        (["data.npz"], 3, "a zip archive"),
        (["."], 3, "is a folder"),
        (["m.onnx", "--input-shape", "x=1x5"], 5, "cannot have shape 1x5"),
        (["m.onnx", "--input-shape", "x=1xT"], 2, "NAME=1x3x48x192"),
        (["m.onnx", "--input-shape", "x=1x0"], 2, "NAME=1x3x48x192"),
        ([], 2, "MODEL"),
    ],
)
def test_inspect_says_what_is_wrong(edgedeploy, argv, code, words):
    ended, out, err = edgedeploy("inspect", *argv)
    assert (ended, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


def test_names_in_a_model_are_not_markup(edgedeploy):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }'
    )
    model.producer_name = "[bold red]x[/nothing]"
    Path("markup.onnx").write_bytes(model.SerializeToString())
    code, out, _ = edgedeploy("inspect", "markup.onnx")
    assert code == 0
    assert "[bold red]x[/nothing]" in out


def test_targets(edgedeploy):
    code, out, _ = edgedeploy("targets")
    lines = out.splitlines()
    assert code == 0
    assert {"rpi4", "x86-64"} <= {line.split()[0] for line in lines[1:]}
    code, out, _ = edgedeploy("targets", "rpi4")
    assert code == 0
    assert "cortex-a72" in out
    code, out, _ = edgedeploy("targets", "rpi4", "--json")
    assert (code, json.loads(out)["name"]) == (0, "rpi4")
    code, out, _ = edgedeploy("targets", "--json")
    assert len(json.loads(out)) == len(lines) - 1
    code, _, err = edgedeploy("targets", "rpi9")
    assert code == 6
    assert "known:" in err
    assert "rpi4" in err


def test_constants_are_last_among_the_operators(edgedeploy):
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {
        a = Constant <value = float[2] {1, 2}> () b = Constant <value = float[2] {3, 4}> ()
        c = Add (x, a) y = Add (c, b) }"""
    Path("m.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    assert "2 Add, 2 Constant" in edgedeploy("inspect", "m.onnx").stdout


@pytest.mark.keeps_cache
def test_compile(edgedeploy):
    argv = ["compile", "m.onnx", "--target", "rpi4", "--golden", "data.npz", "-o", "out"]
    code, out, err = edgedeploy(*argv, "-q")
    assert (code, err) == (0, "")
    assert "m 1" in out
    code, out, _ = edgedeploy(*argv, "--json", "--name", "linear", "--version", "2.0")
    bundle = json.loads(out)
    assert (code, bundle["path"]) == (0, "out")
    assert (bundle["manifest"]["name"], bundle["manifest"]["version"]) == ("linear", "2.0")


@pytest.mark.keeps_cache
def test_compile_says_what_it_was_handed_over_with(edgedeploy):
    text = """schema = 1
[model]
name = "linear"
version = "3.1"
framework = "by hand"
owner = "vision team"
file = "m.onnx"
sha256 = "{}"
[data]
evaluation = "data.npz"
[limits]
size_max_bytes = 1000
"""
    content = text.format(hashlib.sha256(Path("m.onnx").read_bytes()).hexdigest())
    Path("contract.toml").write_text(content)
    argv = ["compile", "m.onnx", "--target", "rpi4", "--golden", "data.npz", "-o", "out", "--contract", "contract.toml"]
    code, out, err = edgedeploy(*argv, "--json", "-q")
    assert (code, err) == (0, "")
    manifest = json.loads(out)["manifest"]
    assert (manifest["name"], manifest["version"]) == ("linear", "3.1")
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    assert manifest["contract"] == {"file": "contract.toml", "sha256": sha256, "owner": "vision team"}
    Path("contract.toml").write_text(text.format("a" * 64))
    code, _, err = edgedeploy(*argv)
    assert code == 11 and "is not the model of the contract" in err and "evidence.json" in err


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["none.onnx"], 3, "does not exist"),
        (["m.onnx"], 5, "--golden DATA"),
        (["m.onnx", "--golden", "none.npz"], 3, "does not exist"),
        (["m.onnx", "--golden", "no_such_module:data"], 6, "cannot be imported"),
        (["m.onnx", "--golden", "m.onnx"], 3, "is a model, and data is expected here"),
        (["m.onnx", "--target", "rpi9"], 6, "no target 'rpi9'"),
        (["m.onnx", "--backend", "abacus"], 5, "no backend 'abacus'"),
        (["m.onnx", "--version", "a b"], 5, "cannot be a version"),
        (["m.onnx", "-o", "."], 3, "is not replaced"),
        (["m.onnx", "-o", "data.npz"], 3, "is not a folder"),
        (["m.onnx", "--golden", "data.npz", "-o", "m.onnx/out"], 7, "cannot be written"),
    ],
)
def test_compile_says_what_is_wrong(edgedeploy, argv, code, words):
    target = [] if "--target" in argv else ["--target", "rpi4"]
    output = [] if "-o" in argv else ["-o", "out"]
    ended, out, err = edgedeploy("compile", *argv, *target, *output)
    assert (ended, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
    assert not Path("out").exists()


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from edgedeploy.cli.commands import compile, inspect, targets\n"
        "print(sorted({'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'paramiko', 'rich', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
