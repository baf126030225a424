"""The budget search on a TensorFlow Lite model."""

from __future__ import annotations

import numpy as np
from tflite_models import small_network

from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipe import load_recipe
from edgedeploy.optimize.search.search import SearchSettings
from edgedeploy.tflite_run import TfliteSession


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
