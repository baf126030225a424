"""Previews of samples: of any array, small, and what it shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from msgspec import structs
from PIL import Image
from support import sample_shipment as sample

from edgedeploy.datasets.base import Sample
from edgedeploy.model.inspect import inspect_model
from edgedeploy.report.content.sample_preview import preview, preview_at, samples_at
from edgedeploy.values.quality import Broken
from edgedeploy.values.sample_preview import SamplePreview
from edgedeploy.workflows.ship.worst_samples import AnsweringModel, worst_samples

_SAME = """<ir_version: 8, opset_import: ["" : 17]>
agraph (float[N, 3] x) => (float[N, 3] y) { y = Identity (x) }"""


def shown(samples: Iterator[Sample], places: set[int]) -> list[SamplePreview]:
    return [preview_at(*one) for one in samples_at(samples, places)]


def decoded(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ((1, 3, 48, 192), (48, 192, 3)),
        ((1, 48, 192, 3), (48, 192, 3)),
        ((3, 32, 32), (32, 32, 3)),
        ((1, 1, 28, 28), (28, 28)),
        ((28, 28, 1), (28, 28)),
        ((1, 80, 100), (80, 100)),
        ((1, 3, 480, 640), (80, 107, 3)),
    ],
)
def test_arrays_with_the_shape_of_a_picture_are_pictures(
    shape: tuple[int, ...], pixels: tuple[int, ...], rng: np.random.Generator
) -> None:
    made = preview(3, "x", rng.standard_normal(shape).astype(np.float32))
    found = decoded(made.png)
    assert found.shape == pixels and found.min() == 0 and found.max() == 255
    assert made.shape == shape and not made.values and not made.text


def test_a_picture_shows_its_values() -> None:
    ramp = np.linspace(-1, 1, 16 * 16, dtype=np.float32).reshape(1, 1, 16, 16)
    expected = np.round(np.linspace(0, 255, 256)).reshape(16, 16)
    assert np.abs(decoded(preview(0, "x", ramp).png) - expected).max() <= 1


def test_a_waveform_is_a_line_and_a_string_a_text() -> None:
    wave = preview(0, "audio", np.sin(np.linspace(0, 6, 16_000)).astype(np.float32)[None])
    assert len(wave.values) == 120 and max(wave.values) > 0.99 and wave.png is None
    assert preview(0, "text", np.array([["an <b>example</b>\nof it", "more"]])).text == "an <b>example</b> of it | more"
    assert preview(0, "v", np.array([[1, 2, 3]])).text == "1, 2, 3"
    assert len(preview(0, "text", np.array(["word " * 1000])).text) == 200


@pytest.mark.slow
@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int8, np.uint8, np.int64, np.bool_, np.dtype("<U5")]),
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=12),
    )
)
def test_any_array_has_a_small_preview(array: np.ndarray) -> None:
    made = preview(0, "x", array)
    assert sum((made.png is not None, bool(made.values), bool(made.text))) == 1
    assert len(made.png or b"") < 40_000 and len(made.values) <= 120 and len(made.text) <= 200
    assert np.isfinite(made.values).all()


def test_places_are_counted_over_feeds_of_several_samples() -> None:
    feeds = [
        Sample(feed={"x": np.arange(8.0).reshape(4, 2) + 10 * index}, labels=np.zeros(4), size=4) for index in range(3)
    ]
    assert [(one.place, one.text) for one in shown(iter(feeds), {9, 0, 6, 99})] == [
        (0, "0, 1"),
        (6, "14, 15"),
        (9, "22, 23"),
    ]


def test_what_follows_the_last_of_them_is_not_read() -> None:
    def samples():  # type: ignore[no-untyped-def]
        yield Sample(feed={"x": np.zeros((1, 2))}, labels=None, size=1)
        raise AssertionError("read on")

    assert len(shown(samples(), {0})) == 1


def test_the_samples_of_a_shipment_are_those_that_got_worse(tmp_path: Path) -> None:
    shipment = sample.shipment()
    judged = structs.replace(shipment.evidence.executions[0], broken=Broken(count=2, first=(1, 4)))
    facts = shipment.evidence.source
    (image,) = facts.inputs
    shape = tuple(extent if isinstance(extent, int) else 12 for extent in image.shape[1:])
    data = np.arange(6, dtype=np.float32).reshape(-1, *[1] * len(shape)) * np.ones(shape, np.float32)
    np.savez(tmp_path / "e.npz", **{image.name: data}, labels=np.zeros(6, np.int64))
    shipment = structs.replace(shipment, evidence=structs.replace(shipment.evidence, executions=(judged,)))
    assert [one.place for one in worst_samples(str(tmp_path / "e.npz"), shipment)] == [1, 4]
    # The figures are there; what illustrates them is no reason to fail.
    assert worst_samples(str(tmp_path / "gone.npz"), shipment) == ()


def test_what_models_answer_stands_beside_the_label(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(_SAME).SerializeToString())
    data = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    np.savez(tmp_path / "e.npz", x=data, labels=np.array([0, 1, 0, 1]))
    shipment = sample.shipment()
    judged = structs.replace(shipment.evidence.executions[0], broken=Broken(count=1, first=(2,)))
    source = inspect_model(tmp_path / "m.onnx")
    evidence = structs.replace(shipment.evidence, executions=(judged,), source=source)
    models = [AnsweringModel("float model", tmp_path / "m.onnx")]
    (shown,) = worst_samples(str(tmp_path / "e.npz"), structs.replace(shipment, evidence=evidence), models=models)
    assert [(answer.whose, answer.text) for answer in shown.answers] == [("label", "0"), ("float model", "2")]
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    damaged = [AnsweringModel("float model", tmp_path / "damaged.onnx")]
    (shown,) = worst_samples(str(tmp_path / "e.npz"), structs.replace(shipment, evidence=evidence), models=damaged)
    assert shown.answers == ()
