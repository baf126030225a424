"""`--preset` and `--skip-broken` of the commands that take data."""

from __future__ import annotations

import json
import re

import onnx.parser
import pytest
from click.testing import CliRunner
from support.pictures import class_folders

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import DatasetError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A model whose answer is the brightest channel, and pictures of a color for each class, one of them broken."""
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "set", {"a": 6, "b": 6, "c": 6})
    (tmp_path / "set/b/000.png").write_bytes(b"no picture")
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13]>
        g (float[N, 3, 8, 8] x) => (float[N, 3] y) {
            mean = ReduceMean<axes = [2, 3], keepdims = 0>(x)
            y = Add(mean, mean)
        }"""
    )
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path


OPTIMIZE = ["optimize", "model.onnx", "--recipe", "fuse", "--on", "none", "-o", "out.onnx"]


def test_a_folder_is_data_with_a_preset_and_what_is_broken_is_left_out(place):
    words = [*OPTIMIZE, "--evaluation", "set", "--preset", "mobilenet-tf", "--skip-broken", "--json"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
    evidence = json.loads(result.stdout)
    assert evidence["source_metric"] == {**evidence["source_metric"], "name": "top1", "value": 1.0, "samples": 17}
    assert any("1 samples of set were left out" in note and "b/000.png" in note for note in evidence["reasons"])


@pytest.mark.parametrize(
    ("words", "said"), [([], "nothing says how they are prepared"), (["--preset", "mobilenet-tf"], r"b/000\.png")]
)
def test_without_them_both_are_errors(place, words, said):
    result = CliRunner().invoke(cli, [*OPTIMIZE, "--evaluation", "set", *words], standalone_mode=False)
    assert isinstance(result.exception, DatasetError) and re.search(said, str(result.exception))
