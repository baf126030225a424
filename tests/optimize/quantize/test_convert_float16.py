"""convert-float16."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.quantize.convert_float16 import ConvertFloat16
from edgedeploy.values.target import Cpu, OperatingSystem, Target


def _normal(rng: np.random.Generator, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def _target(*features):
    return Target(
        title="a board",
        architecture="aarch64",
        memory_mb=(1024,),
        cpu=Cpu(core="c", cores=1, clock_mhz=1, features=features),
        os=OperatingSystem(name="o", python="3.11", glibc="2.36"),
        backends=("onnxruntime",),
        sources=(),
    )


def _context(*probes):
    return Context(target=_target("asimd", "asimdhp"), probes=probes)


NETWORK = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[1,4,8,8] x) => (float[1,3] y, float[1,8,8,8] r) {
        c = Conv <pads = [1,1,1,1]> (x, w, b)
        r = Relu(c)
        d = Conv <pads = [1,1,1,1]> (r, v)
        m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (d)
        s = Sigmoid(m)
        p = GlobalAveragePool(s)
        f = Flatten(p)
        y = Gemm <transB = 1> (f, k, l)
    }"""


def _network(rng: np.random.Generator, build, scale=1.0):
    return build(
        NETWORK,
        w=_normal(rng, 8, 4, 3, 3),
        b=_normal(rng, 8),
        v=_normal(rng, 8, 8, 3, 3),
        k=_normal(rng, 3, 8, scale=scale),
        l=_normal(rng, 3),
    )


def test_layers_compute_in_halves_and_the_interface_stays(build, apply, run, rng):
    model, x = _network(rng, build), _normal(rng, 1, 4, 8, 8)
    expected = run(model, x=x)
    result, evidence = apply(ConvertFloat16(), model, context=_context({"x": x}))
    assert evidence.refused is None
    assert evidence.facts["layers_converted"] == 3
    assert evidence.facts["other_nodes_converted"] == 2, "Relu and MaxPool, not what reads the float Sigmoid"
    # In and out, around the Sigmoid, and into and out of the Gemm.
    assert evidence.facts["casts_added"] == 5
    assert all(value.dtype.itemsize == 2 for value in result.graph.initializers.values())
    outputs = run(result, x=x)
    for output, wanted in zip(outputs, expected, strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, wanted, atol=0.02 * np.abs(wanted).max())
    assert [value.name for value in result.graph.outputs] == ["y", "r"]


def test_what_cannot_be_converted_stays(build, apply, rng):
    model = _network(rng, build, scale=1e6)
    result, evidence = apply(ConvertFloat16(keep_float=("c",)), model, context=_context())
    assert evidence.facts["layers_converted"] == 1
    assert "1 Conv: the settings keep it in float" in evidence.facts["left_in_float"]
    assert "1 Gemm: it has weights beyond what float16 holds (65504)" in evidence.facts["left_in_float"]
    assert Counter(str(value.dtype) for value in result.graph.initializers.values())["FLOAT16"] == 1


def test_products_of_what_is_computed(build, apply, run, rng):
    model = build(
        """
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[4,8] x) => (float[4,4] y) { h = MatMul(x, w) t = Transpose(h) y = MatMul(h, t) }""",
        w=_normal(rng, 8, 8),
    )
    x = _normal(rng, 4, 8)
    expected = run(model, x=x)[0]
    result, evidence = apply(ConvertFloat16(), model, context=_context({"x": x}))
    assert evidence.facts["layers_converted"] == 2 and evidence.facts["casts_added"] == 2
    np.testing.assert_allclose(run(result, x=x)[0], expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("target", [None, _target("asimd")])
def test_targets_that_do_not_compute_halves_are_refused(build, apply, target, rng):
    _, evidence = apply(ConvertFloat16(), _network(rng, build), context=Context(target=target))
    assert "weights-float16" in evidence.refused


def test_a_model_without_layers_is_refused(build, apply):
    model = build('<ir_version: 8, opset_import: ["" : 13]> g (float[4] x) => (float[4] y) { y = Neg(x) }')
    _, evidence = apply(ConvertFloat16(), model, context=_context())
    assert evidence.refused == "there is no Conv, MatMul or Gemm to convert"
