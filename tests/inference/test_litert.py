from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from support.tflite_models import Builder, mediapipe_network, small_network

from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnsupportedError
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.inference.session import arithmetic_note, open_session


def two_inputs() -> bytes:
    b = Builder()
    left, right = b.input("left", (1, 2), signature=(-1, 2)), b.input("right", (1, 2), signature=(-1, 2))
    total = b.operator("ADD", [left, right], b.tensor("sum", (1, 2), signature=(-1, 2)), schema.AddOptionsT())
    product = b.operator("MUL", [left, right], b.tensor("product", (1, 2), signature=(-1, 2)), schema.MulOptionsT())
    return b.finish(total, product)


@pytest.mark.parametrize("exact", [True, False])
def test_outputs_come_in_the_models_order_for_any_batch(tmp_path, exact):
    path = tmp_path / "m.tflite"
    path.write_bytes(two_inputs())
    rng = np.random.default_rng(0)
    for session in (TfliteSession(path, exact=exact), TfliteSession(two_inputs(), exact=exact, threads=1)):
        assert (session.input_names, session.output_names) == (("left", "right"), ("sum", "product"))
        for batch in (1, 3, 2):
            left, right = rng.normal(size=(2, batch, 2)).astype(np.float32)
            outputs = session.run({"right": right, "left": left})
            np.testing.assert_allclose(outputs, [left + right, left * right], rtol=1e-6)
            assert outputs[0].dtype == np.float32


def test_outputs_are_the_callers_own():
    session = TfliteSession(two_inputs(), exact=True)
    one = np.ones((1, 2), np.float32)
    first = session.run({"left": one, "right": one})
    session.run({"left": 5 * one, "right": one})
    np.testing.assert_array_equal(first[0], 2 * one)


def test_the_format_chooses_the_runtime():
    content = two_inputs()
    assert format_of(content[:8]) == "tflite"
    assert isinstance(open_session(content, "tflite", exact=True), TfliteSession)


@pytest.mark.parametrize(
    "feed",
    [
        {"left": np.zeros((1, 2), np.float32)},
        {"left": np.zeros((1, 2), np.float32), "other": np.zeros((1, 2), np.float32)},
        {"left": np.zeros((1, 2), np.float32), "right": np.zeros((1, 3), np.float32)},
        {"left": np.zeros((1, 2), np.float32), "right": np.zeros(2, np.float32)},
        {"left": np.zeros((1, 2), np.float32), "right": np.zeros((1, 2))},
    ],
)
def test_a_feed_that_does_not_fit_is_the_datasets_fault(feed):
    with pytest.raises(DatasetError, match="does not take this feed") as caught:
        TfliteSession(two_inputs(), exact=True).run(feed)
    assert caught.value.why


def test_a_fixed_shape_is_not_resized():
    session = TfliteSession(small_network(), exact=True)
    with pytest.raises(DatasetError, match="does not take this feed"):
        session.run({"image": np.zeros((2, 16, 16, 3), np.float32)})


def quantized() -> bytes:
    """y = x, both in int8; the scale of x is 0.5 and its zero point 3, those of y 0.25 and -4."""
    b = Builder()
    x, y = b.input("x", (1, 4), "int8"), b.tensor("y", (1, 4), "int8")
    for index, scale, zero_point in ((x, 0.5, 3), (y, 0.25, -4)):
        b.graph.tensors[index].quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
    return b.finish(b.operator("QUANTIZE", [x], y, schema.QuantizeOptionsT()))


def test_quantized_inputs_and_outputs_are_spoken_to_in_float():
    session = TfliteSession(quantized(), exact=True)
    values = np.array([[-1.0, 0.0, 0.5, 1000.0]], np.float32)
    (output,) = session.run({"x": values})
    # 1000 is cut off at (127 - 3) · 0.5 = 62, and that at (127 + 4) · 0.25 = 32.75.
    np.testing.assert_array_equal(output, np.array([[-1.0, 0.0, 0.5, 32.75]], np.float32))
    (again,) = session.run({"x": np.array([[1, 3, 4, 127]], np.int8)})
    np.testing.assert_array_equal(again, output)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08" + bytes(30)])
def test_what_is_no_tflite_model_is_refused(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(InvalidFileError, match="not a TensorFlow Lite model"):
            TfliteSession(source, exact=True)
    with pytest.raises(InvalidFileError, match="does not exist"):
        TfliteSession(tmp_path / "none.tflite", exact=True)


def test_a_damaged_model_is_refused_in_the_runtimes_words():
    with pytest.raises(UnsupportedError, match="ai-edge-litert does not load") as caught:
        TfliteSession(two_inputs()[:100], exact=True)
    assert caught.value.why


def test_the_runtime_says_nothing_on_its_own(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(two_inputs())
    script = (
        "import sys; from pathlib import Path; from edgedeploy.inference.litert import TfliteSession\n"
        "TfliteSession(Path(sys.argv[1]), exact=False, keep_all_tensors=True)\n"
        "print('after', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "after\n")


def test_values_in_between_can_be_looked_at():
    session = TfliteSession(small_network(), exact=True, keep_all_tensors=True)
    session.run({"image": np.ones((1, 16, 16, 3), np.float32)})
    found = dict(session.tensors({"relu1", "mean"}))
    assert {name: array.shape for name, array in found.items()} == {"relu1": (1, 16, 16, 16), "mean": (1, 16)}
    assert found["relu1"].min() == 0.0


def test_an_operator_that_only_a_delegate_runs_is_judged_through_that_and_it_is_said():
    feed = {"image": np.ones((1, 4, 4, 3), np.float32)}
    exact, host = (open_session(mediapipe_network(), "tflite", exact=each) for each in (True, False))
    np.testing.assert_allclose(exact.run(feed)[0], host.run(feed)[0], rtol=1e-5)
    assert "only XNNPACK runs the custom operator Convolution2DTransposeBias" in arithmetic_note(exact)
    assert arithmetic_note(host) == ""
    assert arithmetic_note(open_session(small_network(), "tflite", exact=True)) == ""


@pytest.mark.parametrize("exact", [True, False])
def test_an_operator_that_nothing_runs_is_named(exact):
    with pytest.raises(UnsupportedError, match="does not load") as caught:
        TfliteSession(mediapipe_network("Landmarks2TransformMatrix"), exact=exact)
    assert "export the model without Landmarks2TransformMatrix:" in caught.value.hint
