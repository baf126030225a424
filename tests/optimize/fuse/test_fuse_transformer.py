"""fuse-transformer on an encoder as PyTorch exports it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.fuse.fuse_transformer import FuseTransformer
from edgedeploy.optimize.graph.edit import all_nodes, serialized
from edgedeploy.targets.load import load_target

HEADS, HIDDEN, WORDS, LENGTH = 2, 16, 30, 8
PROBE = {
    "input_ids": np.random.default_rng(1).integers(0, WORDS, (2, LENGTH)),
    "attention_mask": np.array([[1] * LENGTH, [1] * 5 + [0] * 3]),
    "token_type_ids": np.zeros((2, LENGTH), np.int64),
}


class _Encoder:
    """One layer of BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805), written out node by node."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, array) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def normal(self, *shape) -> str:
        return self.weight((self.rng.standard_normal(shape) * 0.3).astype(np.float32))

    def add(self, operator, *inputs, **attributes) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def linear(self, x, outputs, inputs=HIDDEN) -> str:
        return self.add("Add", self.normal(outputs), self.add("MatMul", x, self.normal(inputs, outputs)))

    def normalized(self, x) -> str:
        centered = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        square = self.add("Pow", centered, self.weight(np.float32(2)))
        variance = self.add("ReduceMean", square, axes=[-1])
        deviation = self.add("Sqrt", self.add("Add", variance, self.weight(np.float32(1e-12))))
        scaled = self.add("Mul", self.add("Div", centered, deviation), self.normal(HIDDEN))
        return self.add("Add", scaled, self.normal(HIDDEN))

    def gelu(self, x) -> str:
        gate = self.add("Erf", self.add("Div", x, self.weight(np.float32(np.sqrt(2)))))
        gated = self.add("Mul", x, self.add("Add", gate, self.weight(np.float32(1))))
        return self.add("Mul", gated, self.weight(np.float32(0.5)))

    def heads(self, x, *order) -> str:
        split = self.add("Reshape", x, self.weight(np.array([0, 0, HEADS, HIDDEN // HEADS])))
        return self.add("Transpose", split, perm=list(order))

    def attention(self, x, mask) -> str:
        query = self.heads(self.linear(x, HIDDEN), 0, 2, 1, 3)
        key = self.heads(self.linear(x, HIDDEN), 0, 2, 3, 1)
        value = self.heads(self.linear(x, HIDDEN), 0, 2, 1, 3)
        scale = self.weight(np.float32(np.sqrt(HIDDEN // HEADS)))
        scores = self.add("Add", self.add("Div", self.add("MatMul", query, key), scale), mask)
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        joined = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.linear(self.add("Reshape", joined, self.weight(np.array([0, 0, HIDDEN]))), HIDDEN)

    def model(self, version=17) -> ir.Model:
        wide = self.add("Unsqueeze", self.add("Unsqueeze", "attention_mask", self.weight([1])), self.weight([2]))
        mask = self.add("Sub", self.weight(np.float32(1)), self.add("Cast", wide, to=TensorProto.FLOAT))
        mask = self.add("Mul", mask, self.weight(np.float32(-10000)))
        words = self.add("Gather", self.normal(WORDS, HIDDEN), "input_ids")
        kinds = self.add("Gather", self.normal(2, HIDDEN), "token_type_ids")
        positions = self.normal(1, LENGTH, HIDDEN)
        x = self.normalized(self.add("Add", self.add("Add", words, kinds), positions))
        x = self.normalized(self.add("Add", self.attention(x, mask), x))
        inner = self.gelu(self.linear(x, 32))
        x = self.normalized(self.add("Add", self.linear(inner, HIDDEN, 32), x))
        self.nodes[-1].output[0] = "last_hidden_state"
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", LENGTH]) for name in PROBE],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", LENGTH, HIDDEN])],
            self.initializers,
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
        proto.metadata_props.add(key="names", value="a,b")
        onnx.checker.check_model(proto)
        return ir.from_proto(proto)


def _operators(model):
    return [node.op_type for node in all_nodes(model)]


def test_an_encoder_becomes_a_handful_of_nodes(apply, run):
    model = _Encoder().model()
    expected = run(model, **PROBE)[0]
    result, evidence = apply(FuseTransformer(num_heads=HEADS, hidden_size=HIDDEN), model, PROBE)
    assert evidence.refused is None
    assert evidence.facts["Attention_nodes"] == 1 and evidence.facts["SkipLayerNormalization_nodes"] == 2
    assert "Softmax" not in _operators(result) and len(_operators(result)) < len(_operators(model)) / 3
    np.testing.assert_allclose(run(result, **PROBE)[0], expected, atol=1e-4)
    assert result.metadata_props["names"] == "a,b"
    # Nothing is left to fuse.
    _, evidence = apply(FuseTransformer(num_heads=HEADS, hidden_size=HIDDEN), result, PROBE)
    assert not evidence.changed


def test_attention_may_stay_for_quantizers(apply, run):
    model = _Encoder().model()
    result, evidence = apply(FuseTransformer(attention=False), model, PROBE)
    assert evidence.refused is None
    assert "Attention" not in _operators(result) and _operators(result).count("MatMul") == 8
    np.testing.assert_allclose(run(result, **PROBE)[0], run(model, **PROBE)[0], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }',
            "no transformer",
        ),
        (
            '<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,4] y) { y = Softmax(x) }',
            "found nothing",
        ),
        ('<ir_version: 8, opset_import: ["" : 13]> g (float[N,4] x) => (float[N,4] y) { y = Softmax(x) }', "needs 17"),
    ],
)
def test_what_is_no_transformer_is_refused_with_the_reason(build, apply, text, reason):
    model = build(text)
    result, evidence = apply(FuseTransformer(), model)
    assert reason in evidence.refused
    assert serialized(result) == serialized(model)


def test_a_target_of_another_runtime_is_refused(apply):
    target = load_target("rpi4")
    other = type(target)(
        **{name: getattr(target, name) for name in target.__struct_fields__} | {"backends": ("tflite",)}
    )
    _, evidence = apply(FuseTransformer(), _Encoder().model(), context=Context(target=other))
    assert "other runtimes" in evidence.refused


@pytest.mark.slow
def test_torch_is_not_loaded():
    code = (
        "import sys; import onnxruntime.transformers.optimizer, onnxruntime.transformers.fusion_options;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_are_checked():
    with pytest.raises(ValueError, match="negative"):
        FuseTransformer(num_heads=-1)
