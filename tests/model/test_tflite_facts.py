from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tflite_models import Builder, small_network

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.extras import extra_line
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.tflite_file import constant, read_tflite, write_tflite
from edgedeploy.values.model import TensorFacts


def inspect(tmp_path, content, **shapes):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    return inspect_model(path, shapes)


def test_the_facts_of_a_model(tmp_path):
    facts = inspect(tmp_path, small_network())
    assert (facts.format, facts.opset, facts.producer) == ("tflite", 0, "by hand")
    assert facts.size_bytes == len(small_network())
    assert facts.inputs == (TensorFacts(name="image", dtype="float32", shape=(1, 16, 16, 3)),)
    assert facts.outputs == (TensorFacts(name="logits", dtype="float32", shape=(1, 10)),)
    assert facts.parameters == 16 * 27 + 16 + 16 * 144 + 16 + 160 + 10
    assert facts.macs == 256 * 16 * 27 + 256 * 16 * 144 + 160
    assert facts.operators == {"CONV_2D": 2, "RELU": 2, "ADD": 1, "FULLY_CONNECTED": 1, "MEAN": 1}


def test_weights_in_half_precision_are_the_same_parameters(tmp_path):
    half, whole = inspect(tmp_path, small_network(half=True)), inspect(tmp_path, small_network())
    assert (half.parameters, half.macs) == (whole.parameters, whole.macs)
    assert half.size_bytes < whole.size_bytes


def test_macs_of_the_operators_that_multiply(tmp_path):
    b = Builder()
    x = b.input("x", (1, 8, 8, 4))
    one = b.depthwise(x, np.zeros((1, 3, 3, 4), np.float32), b.tensor("one", (1, 8, 8, 4)))
    shape = b.constant("shape", np.array([1, 16, 16, 2], np.int32))
    filters = b.constant("up", np.zeros((2, 3, 3, 4), np.float32))
    options = schema.TransposeConvOptionsT(strideH=2, strideW=2)
    two = b.operator("TRANSPOSE_CONV", [shape, filters, one], b.tensor("two", (1, 16, 16, 2)), options)
    left, right = b.input("left", (5, 6)), b.input("right", (6, 7))
    product = b.operator("BATCH_MATMUL", [left, right], b.tensor("product", (5, 7)), schema.BatchMatMulOptionsT())
    facts = inspect(tmp_path, b.finish(two, product))
    assert facts.macs == 8 * 8 * 4 * 9 + 8 * 8 * 4 * 2 * 9 + 5 * 6 * 7


def dynamic() -> bytes:
    b = Builder()
    x = b.input("x", (1, 1, 4), signature=(-1, -1, 4))
    y = b.tensor("y", (1, 1, 2), signature=(-1, -1, 2))
    options = schema.FullyConnectedOptionsT(keepNumDims=True)
    weights = b.constant("w", np.ones((2, 4), np.float32))
    return b.finish(b.operator("FULLY_CONNECTED", [x, weights, -1], y, options))


def test_macs_where_the_file_leaves_extents_open(tmp_path):
    facts = inspect(tmp_path, dynamic())
    assert facts.inputs[0].shape == ("?", "?", 4)
    assert facts.macs is None
    assert "dynamic input x" in facts.macs_note
    assert inspect(tmp_path, dynamic(), x=(3, 5, 4)).macs == 3 * 5 * 4 * 2
    with pytest.raises(UnsupportedError):
        inspect(tmp_path, dynamic(), x=(3, 5, 9))


def test_a_part_of_a_file_is_refused(tmp_path):
    content = small_network()
    with pytest.raises(InvalidFileError, match=r"m\.tflite"):
        inspect(tmp_path, content[: len(content) // 2])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data):
    content = bytearray(small_network())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_tflite(bytes(content))
    except InvalidFileError as error:
        assert error.why


def test_what_is_attached_to_a_file_stays_with_it():
    attached = io.BytesIO(small_network())
    with zipfile.ZipFile(attached, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    written = write_tflite(read_tflite(attached.getvalue()), attached.getvalue())
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.read("labels.txt") == b"cat\ndog\n"
    assert write_tflite(read_tflite(written)) == write_tflite(read_tflite(small_network()))


def test_operators_of_old_files_are_known():
    """Before 2020 the number of an operator was in another field, of 8 bits; ai-edge-quantizer takes those for ADD."""
    model = read_tflite(small_network())
    for code in model.operatorCodes:
        code.builtinCode = 0
    again = read_tflite(write_tflite(model))
    assert [code.builtinCode for code in again.operatorCodes].count(schema.BuiltinOperator.CONV_2D) == 2


def test_constants_have_their_shape_and_type():
    model = read_tflite(small_network())
    arrays = {tensor.name: constant(model, tensor) for tensor in model.subgraphs[0].tensors}
    assert arrays[b"filters2"].shape == (16, 3, 3, 16)
    np.testing.assert_array_equal(arrays[b"axes"], [1, 2])
    assert arrays[b"image"] is None


@pytest.mark.slow
def test_without_the_extra_the_command_that_mends_it_is_said(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(small_network())
    script = (
        "import sys; sys.modules['ai_edge_litert'] = None\n"
        "from pathlib import Path\n"
        "from edgedeploy.foundation.errors import HostError\n"
        "from edgedeploy.model.inspect import inspect_model\n"
        "try: inspect_model(Path(sys.argv[1]))\n"
        "except HostError as error: print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == extra_line("tflite") + "\n"


@pytest.mark.slow
def test_what_is_attached_may_not_inflate_without_end():
    """A list of labels is small; 300 MB of zeros take 300 kB in the file."""
    attached = io.BytesIO(small_network())
    with zipfile.ZipFile(attached, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("labels.txt", bytes(300_000_000))
    with pytest.raises(UnsupportedError, match="inflate to 300 MB"):
        write_tflite(read_tflite(attached.getvalue()), attached.getvalue())
