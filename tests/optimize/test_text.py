"""Text through the passes and the guard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe

TABLE = """
    <ir_version: 9, opset_import: ["" : 19, "ai.onnx.ml" : 3]>
    table (string[N, 1] city, string[N, 1] kind, float[N, 30] x)
        => (string[N] label, float[N, 4] scores, string[N, 1] tier)
    {
        city_code = ai.onnx.ml.LabelEncoder
            <keys_strings = ["Bern", "Oslo"], values_floats = [1.0, 2.0], default_float = 0.0> (city)
        vip = Constant <value_strings = ["vip"]> ()
        is_vip = Equal(kind, vip)
        vip_code = Cast <to = 1> (is_vip)
        tier = Where(is_vip, gold, silver)
        row = Concat <axis = 1> (city_code, vip_code, x)
        hidden = Gemm(row, w1)
        positive = Relu(hidden)
        scores = Gemm(positive, w2)
        best = ArgMax <axis = 1, keepdims = 0> (scores)
        names = Identity(label_names)
        label = Gather(names, best)
    }
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(TABLE)
    for name, shape in (("w1", (32, 64)), ("w2", (64, 4))):
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    for name, texts in (("gold", ["g"]), ("silver", ["s"]), ("label_names", ["a", "b", "c", "ä"]), ("twin", ["g"])):
        strings = [text.encode() for text in texts]
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.STRING, [len(texts)], strings))
    folder = tmp_path_factory.mktemp("table")
    onnx.save(model, folder / "m.onnx")
    scores = np.arange(32) % 3
    np.savez(
        folder / "d.npz",
        city=np.array(["Bern", "Oslo", "?"])[scores][:, None],
        kind=np.array(["vip", "", "x"])[scores][:, None],
        x=rng.standard_normal((32, 30)).astype(np.float32),
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    ["fold", "fuse", "int8", "int8-dynamic", "int8-recovered", "prune", "prune-int8", "sparse", "weights-float16",
     "weights-int4", "weights-int8"],
)  # fmt: skip
def test_every_recipe_takes_text(table: Path, tmp_path: Path, recipe: str) -> None:
    data = str(table / "d.npz")
    evidence = optimize(
        table / "m.onnx", load_recipe(recipe), tmp_path / "o.onnx", calibration=data, evaluation=data, max_drop=0.5
    )
    assert evidence.executions, evidence.reasons
    figures = evidence.executions[0].by_output
    assert figures["tier"].text_match == 1.0
    assert figures["label"].text_match is not None and figures["scores"].text_match is None


def test_without_data_text_is_made_up(table: Path, tmp_path: Path) -> None:
    evidence = optimize(table / "m.onnx", load_recipe("fold"), tmp_path / "o.onnx")
    assert evidence.accepted, evidence.reasons
    assert any("generated inputs" in reason for reason in evidence.reasons)
    assert evidence.executions[0].agreement.text_match == 1.0


def test_other_text_is_refused(table: Path, tmp_path: Path) -> None:
    """With nine channels in ten gone, answers change, and with them the labels that are made of them."""
    recipe = tmp_path / "bad.toml"
    recipe.write_text('title = "ruin"\ndescription = "ruin"\n\n[[passes]]\nname = "prune-channels"\nratio = 0.9\n')
    data = str(table / "d.npz")
    evidence = optimize(
        table / "m.onnx", load_recipe(str(recipe)), tmp_path / "o.onnx", calibration=data, evaluation=data
    )
    assert not evidence.accepted
    label = evidence.executions[0].by_output["label"]
    assert label.text_match is not None and label.text_match < 0.9
    assert any("output 'label'" in reason and "of the texts are the same" in reason for reason in evidence.reasons)
