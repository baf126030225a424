"""Heads and metrics see what the rest of a model takes, not the pictures that it prepares itself."""

from __future__ import annotations

import numpy as np
import pytest
from support.picture_models import write_picture_model

from edgedeploy.datasets.preprocessing.images import prepare_picture
from edgedeploy.datasets.preprocessing.inside import prepared_feed
from edgedeploy.datasets.preprocessing.presets import resolve
from edgedeploy.datasets.synthetic import made_up_picture
from edgedeploy.metrics.heads.decoder import picture_size
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.embed.embed import embed_preprocessing

pytest.importorskip("PIL")


@pytest.mark.parametrize("pictures", ["any", "model"])
@pytest.mark.parametrize("table", [{"preset": "yolo"}, {"preset": "imagenet", "color": "bgr"}])
def test_a_feed_of_pictures_becomes_what_the_rest_of_the_model_takes(tmp_path, rng, table, pictures):
    path = write_picture_model(tmp_path / "model.onnx")
    before = inspect_model(path).inputs
    path.write_bytes(embed_preprocessing(path, table, pictures=pictures).content)
    inputs = inspect_model(path).inputs
    pixels = made_up_picture(90, 61, 3, rng)  # in the declared order of colors
    feed = {"picture": prepare_picture(pixels, resolve(table, inputs[0]), inputs[0]).values[np.newaxis]}
    found = prepared_feed(feed, inputs)
    wanted = prepare_picture(pixels, resolve(table, before[0]), before[0]).values
    assert np.array_equal(found["picture"][0], wanted)
    assert picture_size(found) == (32, 40)  # what heads scale boxes with


def test_other_feeds_stay_as_they_are(tmp_path):
    inputs = inspect_model(write_picture_model(tmp_path / "model.onnx")).inputs
    feed = {"picture": np.zeros((1, 3, 32, 40), np.float32)}
    assert prepared_feed(feed, inputs) is feed
