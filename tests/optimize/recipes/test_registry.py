"""Adding a pass is adding one module, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import onnx.parser
import pytest

PASS = '''
"""A pass that nobody has announced anywhere."""

from typing import ClassVar

import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass


class SignTheModel(Pass, frozen=True):
    """Write an author into the model's metadata."""

    tolerance: ClassVar[float | None] = 0.0

    author: str

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        model.metadata_props["author"] = self.author
        return model, {"authors": 1}
'''
RECIPE = """
title = "sign"
description = "Signs the model."
[[passes]]
name = "sign-the-model"
author = "a contributor"
"""
OPTIMIZE = """
import sys
import edgedeploy.optimize.simplify as room
room.__path__.append("passes")  # as if the file lay there
from edgedeploy.cli.main import main
from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.optimize.recipes.recipe import load_recipe
try:
    load_recipe("./wrong.toml")
except InvalidFileError as error:
    print(error, file=sys.stderr)
main()
"""


@pytest.mark.slow
def test_a_pass_in_a_module_of_its_own_is_found_validated_and_run(tmp_path: Path) -> None:
    (tmp_path / "passes").mkdir()
    (tmp_path / "passes" / "sign_the_model.py").write_text(PASS)
    (tmp_path / "sign.toml").write_text(RECIPE)
    (tmp_path / "wrong.toml").write_text(RECIPE.replace("author = ", "writer = "))
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }'
    )
    onnx.save(model, tmp_path / "model.onnx")

    words = ["optimize", "model.onnx", "--recipe", "./sign.toml", "-o", "out.onnx", "--json", "--allow", "larger"]
    done = subprocess.run(
        [sys.executable, "-c", OPTIMIZE, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passes"][0]["name"] == "sign-the-model"
    signed = {entry.key: entry.value for entry in onnx.load(tmp_path / "out.onnx").metadata_props}
    assert signed["author"] == "a contributor"
    assert "wrong.toml:" in done.stderr and "writer" in done.stderr, "its settings are validated"
