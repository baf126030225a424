"""The budget search on a TensorFlow Lite model."""

from __future__ import annotations

import numpy as np
import pytest
from support.tflite_models import small_network

from edgedeploy.inference.litert import TfliteSession
from edgedeploy.model.tflite_file import constant, read_tflite, write_tflite
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.search.settings import SearchSettings

pytestmark = pytest.mark.slow


def test_a_tflite_model_comes_out_smaller_and_as_good(tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(small_network())
    rng = np.random.default_rng(4)
    image = (rng.uniform(size=(120, 16, 16, 3)) * rng.uniform(size=(120, 1, 1, 3))).astype(np.float32)
    session = TfliteSession(model.read_bytes(), exact=True)
    labels = np.array([session.run({"image": one[None]})[0].argmax() for one in image])
    np.savez(tmp_path / "c.npz", image=image[:40])
    np.savez(tmp_path / "e.npz", image=image[40:], labels=labels[40:])
    evidence = optimize(
        model,
        load_recipe("auto"),
        tmp_path / "o.tflite",
        calibration=str(tmp_path / "c.npz"),
        evaluation=str(tmp_path / "e.npz"),
        max_drop=0.05,
        search_settings=SearchSettings(objective="size"),
    )
    assert evidence.accepted, evidence.reasons
    assert evidence.search is not None and len(evidence.search.trials) > 3
    assert (tmp_path / "o.tflite").stat().st_size < model.stat().st_size


def test_layers_that_cost_too_much_stay_in_float(tmp_path):
    """One layer's weights have a channel that is a thousand times the others': its inputs get a useless range."""
    model = tmp_path / "m.tflite"
    content = read_tflite(small_network())
    tensors = {tensor.name: tensor for tensor in content.subgraphs[0].tensors}
    filters = constant(content, tensors[b"filters1"]).copy()
    filters[0] *= 3000
    content.buffers[tensors[b"filters1"].buffer].data = np.frombuffer(filters.tobytes(), np.uint8)
    second = constant(content, tensors[b"filters2"]).copy()
    second[:, :, :, 0] /= 3000
    content.buffers[tensors[b"filters2"].buffer].data = np.frombuffer(second.tobytes(), np.uint8)
    dense = constant(content, tensors[b"dense"]).copy()
    dense[:, 0] /= 3000
    content.buffers[tensors[b"dense"].buffer].data = np.frombuffer(dense.tobytes(), np.uint8)
    model.write_bytes(write_tflite(content))
    rng = np.random.default_rng(4)
    image = (rng.uniform(size=(80, 16, 16, 3)) * rng.uniform(size=(80, 1, 1, 3))).astype(np.float32)
    session = TfliteSession(model.read_bytes(), exact=True)
    labels = np.array([session.run({"image": one[None]})[0].argmax() for one in image])
    np.savez(tmp_path / "c.npz", image=image[:20])
    np.savez(tmp_path / "e.npz", image=image[20:], labels=labels[20:])
    recipe = tmp_path / "search.toml"
    recipe.write_text(
        'title = "t"\ndescription = "d"\n[[passes]]\nname = "remove-dead-code"\n'
        '[[variants]]\nname = "int8"\nmixed = true\npasses = [{ name = "quantize-static" }]\n'
    )
    evidence = optimize(
        model,
        load_recipe(str(recipe)),
        tmp_path / "o.tflite",
        calibration=str(tmp_path / "c.npz"),
        evaluation=str(tmp_path / "e.npz"),
        max_drop=0.05,
        search_settings=SearchSettings(objective="size"),
    )
    assert evidence.search is not None
    assert {layer.layer for layer in evidence.search.layers} == {"conv1", "conv2", "logits"}
    assert all(layer.sqnr_db is not None and layer.sqnr_db > -200 for layer in evidence.search.layers)
    assert any("in float" in trial.name for trial in evidence.search.trials)
