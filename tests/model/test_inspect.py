from __future__ import annotations

import re
from pathlib import Path

import onnx
import onnx.parser
import pytest

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.model.inspect import inspect_model
from edgedeploy.values.model import ModelFacts, TensorFacts


def inspect(tmp_path: Path, text: str, **input_shapes: tuple[int, ...]) -> ModelFacts:
    path = tmp_path / "m.onnx"
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return inspect_model(path, input_shapes=input_shapes)


HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
INT8_HEAD = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'


def test_the_facts_of_a_model(tmp_path):
    facts = inspect(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17], producer_name: "hand", producer_version: "1">
        two (float[N, 3, 8, 8] x, int64[2] k) => (float[N, 4, 6, 6] y, float[?, 4] z)
        <float[4, 3, 3, 3] w = {0}, float[4] b = {1, 2, 3, 4}>
        { y = Conv(x, w, b)  r = Relu(y)  s = Relu(r)  z = ReduceMean <axes = [2, 3], keepdims = 0> (s) }""".replace(
            "{0}", "{" + ", ".join(["0"] * 108) + "}"
        ),
    )
    assert facts.format == "onnx"
    assert (facts.producer, facts.opset) == ("hand 1", 17)
    assert facts.inputs == (
        TensorFacts(name="x", dtype="float32", shape=("N", 3, 8, 8)),
        TensorFacts(name="k", dtype="int64", shape=(2,)),
    )
    assert facts.outputs[0] == TensorFacts(name="y", dtype="float32", shape=("N", 4, 6, 6))
    assert facts.parameters == 4 * 3 * 3 * 3 + 4
    assert facts.macs == 4 * 6 * 6 * 3 * 3 * 3
    assert list(facts.operators.items()) == [("Relu", 2), ("Conv", 1), ("ReduceMean", 1)]


def test_odd_dimensions_are_dynamic(tmp_path):
    path = tmp_path / "m.onnx"
    model = onnx.parser.parse_model(f"{HEAD} g (float[N] x) => (float[N] y) {{ y = Relu(x) }}")
    extents = model.graph.input[0].type.tensor_type.shape.dim
    extents[0].dim_value = -1
    extents.add().dim_param = "?"
    extents.add()
    extents.add().dim_value = 0
    path.write_bytes(model.SerializeToString())
    assert inspect_model(path).inputs[0].shape == ("?", "?", "?", 0)


def test_initializers_that_are_inputs_too_are_not_inputs(tmp_path):
    facts = inspect(
        tmp_path,
        '<ir_version: 3, opset_import: ["" : 8]>'
        "g (float[N, 2] x, float[2, 1] w) => (float[N, 1] y) <float[2, 1] w = {1, 2}> { y = MatMul(x, w) }",
    )
    assert [value.name for value in facts.inputs] == ["x"]


def test_what_is_not_a_tensor_is_refused(tmp_path):
    model = onnx.parser.parse_model(
        f"{HEAD} g (seq(float[N]) x) => (float[M] y) {{ y = ConcatFromSequence <axis=0> (x) }}"
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="sequence"):
        inspect_model(path)


# -- parameters


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        # The same numbers as an initializer, a Constant node, in both forms.
        ("<float[2, 3] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }", 6),
        ("{ w = Constant <value = float[2, 3] {1, 2, 3, 4, 5, 6}> ()  y = MatMul(x, w) }", 6),
        ("{ w = Constant <value_floats = [1.0, 2.0]> ()  y = Add(x, w) }", 2),
        # Used twice, counted once; not used, not counted.
        ("<float[2, 2] w = {1, 2, 3, 4}> { a = MatMul(x, w)  y = MatMul(a, w) }", 4),
        ("<float[2, 2] w = {1, 2, 3, 4}, float[5] dead = {1, 2, 3, 4, 5}> { y = MatMul(x, w) }", 4),
        # Settings: shapes, bounds, factors, scales.
        ("<int64[2] s = {-1, 2}> { y = Reshape(x, s) }", 0),
        ("<float low = {0}, float high = {6}> { y = Clip(x, low, high) }", 0),
        ("<float[1] three = {3}> { y = Add(x, three) }", 0),
        ("<float[2, 2] none = {1, 1, 1, 1}> { y = Dropout(x) }", 0),
        # One number can be a weight where an operator has weights.
        ("<float[2, 1] w = {1, 2}, float[1] b = {1}> { y = Gemm(x, w, b) }", 3),
        # A quantized weight counts, its scale and zero point do not; a dequantized bias counts.
        (
            "<int8[2, 2] q = {1, 2, 3, 4}, float[2] s = {0.1, 0.2}, int8[2] z = {0, 0}, int32[2] b = {1, 2}>"
            "{ w = DequantizeLinear <axis = 1> (q, s, z)  c = DequantizeLinear <axis = 0> (b, s)  y = Gemm(x, w, c) }",
            6,
        ),
    ],
)
def test_parameters_are_counted_by_their_use(tmp_path, body, parameters):
    assert inspect(tmp_path, f"{HEAD} g (float[N, 2] x) => (float[N, M] y) {body}").parameters == parameters


def test_parameters_of_integer_operators(tmp_path):
    facts = inspect(
        tmp_path,
        f"""{HEAD} g (uint8[N, 1, 4, 4] x) => (uint8[N, 2, 4, 4] y)
        <float xs = {{0.1}}, uint8 xz = {{0}}, int8[2, 1, 1, 1] w = {{1, 2}}, float[2] ws = {{0.1, 0.1}},
         int8[2] wz = {{0, 0}}, float ys = {{0.1}}, uint8 yz = {{0}}, int32[2] b = {{1, 2}}>
        {{ y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b) }}""",
    )
    assert (facts.parameters, facts.macs) == (4, 2 * 16)


def test_parameters_in_subgraphs_and_seen_from_them(tmp_path):
    facts = inspect(
        tmp_path,
        f"""{HEAD} g (bool c, float[1, 2] x) => (float[1, 2] y) <float[2, 2] w = {{1, 2, 3, 4}}> {{
            y = If (c) <
                then_branch = a () => (float[1, 2] t) <float[2, 2] v = {{1, 2, 3, 4}}>
                    {{ u = MatMul(x, w)  t = MatMul(u, v) }},
                else_branch = b () => (float[1, 2] e) {{ e = MatMul(x, w) }}
            > }}""",
    )
    assert facts.parameters == 8
    assert (facts.macs, facts.macs_note) == (8, "for c scalar, x 1x2; the costlier branch of If")
    assert facts.operators == {"MatMul": 3, "If": 1}


# -- MACs


# Weights are inputs here: only their shapes matter.
@pytest.mark.parametrize(
    ("inputs", "output", "node", "macs"),
    [
        ("float[N, 4, 9, 9] x, float[6, 2, 3, 3] w", "N, 6, 4, 4", "Conv <group = 2, strides = [2, 2]>", 96 * 2 * 9),
        ("float[N, 4, 5] x, float[4, 3, 2] w", "N, 6, 10", "ConvTranspose <group = 2, strides = [2]>", 20 * 3 * 2),
        ("float[N, 4, 5] x, float[5, 7] w", "N, 4, 7", "MatMul", 4 * 5 * 7),
        ("float[N, 4, 5] x, float[5] w", "N, 4", "MatMul", 4 * 5),
        ("float[N, 5] x, float[7, 5] w", "N, 7", "Gemm <transB = 1>", 5 * 7),
        ("float[5, 3] x, float[7, 5] w", "3, 7", "Gemm <transA = 1, transB = 1>", 3 * 5 * 7),
        ("float[N, 4, 5] x, float[5, 7] w", "N, 4, 7", 'Einsum <equation = "bij,jk->bik">', 4 * 5 * 7),
        ("float[9, 1, 5] x, float[2, 28, 5] w, float[2, 28, 7] r", "9, 2, 1, 7",
         'LSTM <hidden_size = 7, direction = "bidirectional">', 9 * 2 * 28 * 12),
        ("float[9, 1, 5] x, float[1, 21, 5] w, float[1, 21, 7] r", "9, 1, 1, 7", "GRU <hidden_size = 7>", 9 * 21 * 12),
        ("float[N, 5] x", "N, 5", "Relu", 0),
    ],
)  # fmt: skip
def test_macs_of_an_operator(tmp_path, inputs, output, node, macs):
    names = ", ".join(re.findall(r"\b[xwr]\b", inputs))
    facts = inspect(tmp_path, f"{HEAD} g ({inputs}) => (float[{output}] y) {{ y = {node} ({names}) }}")
    assert facts.macs == macs, facts.macs_note


RESHAPED = f"""{HEAD} g (float[N, C, H, 4] x) => (float[N, 2] y) <int64[1] zero = {{0}}, int64[1] one = {{1}},
    int64[1] rest = {{-1}}, float[16, 2] w = {{{", ".join(["1"] * 32)}}}> {{
    shape = Shape(x)  n = Slice(shape, zero, one, zero)  target = Concat <axis = 0> (n, rest)
    f = Cast <to = 1> (target)  t = Cast <to = 7> (f)
    flat = Reshape(x, t)  y = MatMul(flat, w) }}"""


def test_a_reshape_to_a_computed_shape_is_followed(tmp_path):
    facts = inspect(tmp_path, RESHAPED, x=(1, 2, 2, 4))
    assert (facts.macs, facts.macs_note) == (32, "for x 1x2x2x4")


def test_macs_are_not_told_when_an_input_is_dynamic_beyond_the_batch(tmp_path):
    facts = inspect(tmp_path, RESHAPED)
    assert facts.macs is None
    assert facts.macs_note == "the shapes of 1 MatMul depend on the dynamic input x (1, C, H, 4)"


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"z": (1, 2)}, "no input 'z'"),
        ({"x": (1, 2, 2)}, "cannot have shape 1x2x2"),
        ({"x": (1, 2, 2, 5)}, "the model declares"),
    ],
)
def test_shapes_that_contradict_the_model_are_refused(tmp_path, shapes, words):
    with pytest.raises(UnsupportedError) as caught:
        inspect(tmp_path, RESHAPED, **shapes)
    assert words in str(caught.value)


def test_a_named_extent_is_the_same_in_every_input(tmp_path):
    facts = inspect(
        tmp_path,
        f"{HEAD} g (float[B, T] a, float[T, B] b) => (float[B, B] y) {{ y = MatMul(a, b) }}",
        a=(1, 30),
    )
    assert facts.macs == 30


def test_the_body_of_a_loop_counts_once(tmp_path):
    facts = inspect(
        tmp_path,
        f"""{HEAD} g (int64 n, bool c, float[1, 2] x) => (float[1, 2] y) <float[2, 2] w = {{1, 2, 3, 4}}> {{
            y = Loop (n, c, x) <
                body = b (int64 i, bool ci, float[?, ?] s) => (bool co, float[?, ?] so)
                    {{ co = Identity(ci)  so = MatMul(s, w) }}
            > }}""",
    )
    assert (facts.macs, facts.macs_note) == (4, "for n scalar, c scalar, x 1x2; the body of Loop counted once")


def test_functions_of_the_model_are_looked_into(tmp_path):
    facts = inspect(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> { y = own.twice(x, w) }
        <domain: "own", opset_import: ["" : 17]>
        twice (a, b) => (c) { d = MatMul(a, b)  c = MatMul(d, b) }""",
    )
    assert (facts.parameters, facts.macs) == (4, 8)
    assert facts.operators == {"MatMul": 2, "own.twice": 1}


def test_quantized_operators_of_onnxruntimes_own_are_followed(tmp_path):
    facts = inspect(
        tmp_path,
        f"""{INT8_HEAD} g (uint8[N, 1, 4, 4] x) => (uint8[N, 2, 4, 4] y)
        <float s = {{0.1}}, uint8 z = {{0}}, int8 wz = {{0}}, int8[1, 1, 1, 1] w = {{1}}, int8[2, 1, 1, 1] v = {{1, 2}}>
        {{
            a = QLinearConv(x, s, z, w, s, wz, s, z)
            b = com.microsoft.QLinearAdd(a, s, z, x, s, z, s, z)
            y = QLinearConv(b, s, z, v, s, wz, s, z) }}""",
    )
    assert facts.macs == 16 + 32
    assert facts.operators["com.microsoft.QLinearAdd"] == 1


def test_a_loop_whose_inputs_are_known_is_not_run(tmp_path):
    facts = inspect(
        tmp_path,
        f"""{HEAD} g (float[1, 2] x) => (float[1, 2] y)
        <int64 n = {{9223372036854775807}}, bool c = {{1}}, float s = {{0}}> {{
            t = Loop (n, c, s) <
                body = b (int64 i, bool ci, float a) => (bool co, float o) {{ co = Identity(ci)  o = Add(a, a) }}
            >
            y = Add(x, t) }}""",
    )
    assert facts.macs == 0


def test_functions_that_call_each_other_in_a_circle_are_not_followed(tmp_path):
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[N, 2] x) => (float[N, 2] y) { y = own.a(x) }
        <domain: "own", opset_import: ["" : 17, "own" : 1]> a (x) => (y) { y = own.b(x) }
        <domain: "own", opset_import: ["" : 17, "own" : 1]> b (x) => (y) { y = own.a(x) }""")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    facts = inspect_model(path)
    assert facts.macs is None
    assert "cannot be inlined" in facts.macs_note


def test_what_multiplies_but_is_not_counted_is_named(tmp_path):
    facts = inspect(
        tmp_path,
        f"{HEAD} g (float[1, 8, 1] x, int64 n) => (float[1, 8, 2] y) {{ y = DFT <axis = 1> (x, n) }}",
    )
    assert (facts.macs, facts.macs_note) == (0, "for x 1x8x1, n scalar; without 1 DFT")


FLOATS = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, ["N"])
PROBABILITIES = onnx.helper.make_map_type_proto(onnx.TensorProto.INT64, FLOATS)


@pytest.mark.parametrize(
    ("kind", "words", "hint"),
    [
        (onnx.helper.make_sequence_type_proto(PROBABILITIES), "a sequence of maps", "'zipmap': False"),
        (PROBABILITIES, "a map", "'zipmap': False"),
        (onnx.helper.make_sequence_type_proto(FLOATS), "a sequence", "ConcatFromSequence"),
        (onnx.helper.make_optional_type_proto(FLOATS), "an optional value", "OptionalGetElement"),
        (onnx.TypeProto(), "a value without a type", "declare its type"),
    ],
)
def test_what_is_no_tensor_is_refused_with_the_way_to_one(tmp_path, kind, words, hint):
    value = onnx.helper.make_value_info("y", kind)
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [value]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match=f"'y' is no tensor but {words}") as caught:
        inspect_model(tmp_path / "m.onnx")
    assert hint in caught.value.hint
