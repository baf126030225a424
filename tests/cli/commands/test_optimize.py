from __future__ import annotations

import itertools
import json

import click.testing
import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.cli.main import cli

TEXT = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[N,64] x) => (float[N,4] y) { h = MatMul(x, w) i = Identity(h) y = Softmax(i) }"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    proto = onnx.parser.parse_model(TEXT)
    weight = (rng.standard_normal((64, 4)) * 2).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(proto, tmp_path / "m.onnx")
    x = rng.standard_normal((100, 64)).astype(np.float32)
    np.savez(tmp_path / "e.npz", x=x, labels=(x @ weight).argmax(axis=1))
    np.savez(tmp_path / "c.npz", x=x[:10])
    return tmp_path


@pytest.fixture
def invoke(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def run(*arguments):
        return click.testing.CliRunner().invoke(cli, arguments, standalone_mode=False)

    return run


@pytest.mark.slow
def test_an_accepted_result(invoke, folder):
    result = invoke("optimize", "m.onnx", "--recipe", "fold", "--evaluation", "e.npz", "-o", "out.onnx")
    assert result.return_value == 0, result.output
    for word in ("before", "after", "top1", "SQNR", "remove-dead-code", "accepted", "wrote out.onnx"):
        assert word in result.output
    assert (folder / "out.onnx").is_file() and (folder / "out.onnx.evidence.json").is_file()


@pytest.mark.slow
def test_a_refused_result_exits_1_and_says_why(invoke, folder):
    # Of a matrix this small, the nodes that quantize it are larger than what is saved.
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] x) => (float[N,2] y) { y = MatMul(x, w) }'
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), "w"))
    onnx.save(proto, folder / "tiny.onnx")
    result = invoke("optimize", "tiny.onnx", "--recipe", "int8-dynamic", "-o", "out.onnx")
    assert result.return_value == 1
    assert "larger than what came in" in result.output
    assert "nothing was written" in result.output
    assert not (folder / "out.onnx").exists()


def test_json(invoke):
    result = invoke("optimize", "m.onnx", "--recipe", "fold", "--evaluation", "e.npz", "-o", "out.onnx", "--json")
    evidence = json.loads(result.stdout)
    assert evidence["accepted"] is True and evidence["recipe"] == "fold"
    assert list(evidence) == [
        "recipe", "target", "source", "result", "passes", "calibration_samples", "evaluation_sha256", "source_metric",
        "max_drop", "executions", "speed", "speed_unjudged", "layers", "search", "accepted", "reasons", "tools",
        "model_name", "metric_trust", "max_drop_relative",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "fold"), "-o"),
        (("-o", "out.onnx"), "--recipe"),
        (("--recipe", "fold", "-o", "out.onnx", "--max-drop", "-1"), "--max-drop"),
    ],
)
def test_a_wrong_command_line(invoke, arguments, message):
    result = invoke("optimize", "m.onnx", *arguments)
    assert isinstance(result.exception, click.UsageError) and message in result.exception.format_message()


@pytest.mark.parametrize("width", [120, 80, 60, 40])
def test_a_recipe_is_shown_within_the_terminal(invoke, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = [line.rstrip() for line in invoke("recipes", "int8").output.splitlines()]
    assert max(map(len, lines)) <= width
    # Filled anew: no line of the description ends early because the file breaks it there.
    first = lines.index("") + 1
    description = lines[first : lines.index("", first)]
    followed = itertools.pairwise(description)
    assert all(len(line) + 1 + len(after.split()[0]) > width for line, after in followed)


def test_recipes(invoke):
    listed = invoke("recipes")
    assert listed.return_value == 0
    names = [line.split()[0] for line in listed.output.splitlines()]
    assert names == sorted(names) and {"auto", "fold", "int8", "int8-dynamic"} <= set(names)
    assert {"name", "title", "needs_calibration", "passes"} == set(json.loads(invoke("recipes", "--json").output)[0])
    shown = invoke("recipes", "int8")
    assert "quantize-static" in shown.output and "per_channel = true" in shown.output
    recipe = json.loads(invoke("recipes", "int8", "--json").output)
    assert recipe["passes"][0] == {"name": "inline-functions"}
