"""Pruning: which channels go together, what is left without them, and how the layers that follow make up for it.

The oracle is exact: a model whose weights are zero wherever a removed channel is read or made gives what the model
gives that does not have the channel.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import constant, replace_input
from edgedeploy.optimize.graph.runtime_shapes import tell_shapes
from edgedeploy.optimize.prune.channels.channel_groups import find_channel_groups
from edgedeploy.optimize.prune.channels.coupling import find_coupling
from edgedeploy.optimize.prune.channels.edits import Cut
from edgedeploy.optimize.prune.channels.rewrite import rewrite
from edgedeploy.optimize.prune.layer_samples import graph_shapes
from edgedeploy.optimize.prune.prune_channels import PruneChannels
from edgedeploy.values.model import TensorFacts

X = np.random.default_rng(15).standard_normal((2, 3, 8, 8)).astype(np.float32)


def _w(rng: np.random.Generator, *shape):
    fan = max(int(np.prod(shape[1:])), 1)
    return (rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)


def _zeroed(model, coupling, removed):
    """A copy with zeros wherever a removed channel is made or read."""
    result = model.clone()
    nodes = list(result.graph)
    for edit in coupling.edits:
        if isinstance(edit, Cut):
            gone = np.isin(coupling.sets.roots(edit.ids), list(removed))
            node = nodes[edit.node]
            array = np.moveaxis(constant(node.inputs[edit.position]).copy(), edit.axis, 0)
            array[gone] = 0
            new = GraphBuilder(result).initializer("zeroed", np.moveaxis(array, 0, edit.axis))
            replace_input(node, edit.position, new)
    return result


def _elements(model):
    return sum(value.const_value.size for value in model.graph.initializers.values())


def _every_second(groups):
    return frozenset(int(root) for group in groups for root in group.roots[: len(group.roots) // 2])


def _check(model, run, feed=None, least=1):
    """Remove half of every group and hold the result against the oracle."""
    feed = feed or {"x": X}
    model = model.clone()
    tell_shapes(model, [feed])
    coupling = find_coupling(model, graph_shapes(model, feed))
    groups, left = find_channel_groups(coupling, 1)
    assert len(groups) >= least, left
    removed = _every_second(groups)
    expected = run(_zeroed(model, coupling, removed), **feed)
    result = rewrite(model, coupling, removed)
    for got, wanted in zip(run(result, **feed), expected, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert not removed or _elements(result) < _elements(model)
    return result, left


def _graph(body, opset=17, result="float[n,a,b,c] y"):
    return f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[n,3,8,8] x) => ({result}) {{ {body} }}'


def _first(rng: np.random.Generator):
    return {"w1": _w(rng, 8, 3, 3, 3), "b1": _w(rng, 8), "w2": _w(rng, 4, 8, 1, 1), "b2": _w(rng, 4)}


FIRST = _first(np.random.default_rng(21))
A, B = "a = Conv <pads = [1,1,1,1]> (x, w1, b1)", "y = Conv (h, w2, b2)"


def _cases(rng: np.random.Generator):
    return {
        "a chain": (f"{A} h = Relu(a) {B}", {}, 17),
        "batch normalization": (
            f"{A} h = BatchNormalization(a, s, o, m, v) {B}",
            {"s": _w(rng, 8), "o": _w(rng, 8), "m": _w(rng, 8), "v": np.abs(_w(rng, 8))},
            17,
        ),
        "PRelu": (f"{A} h = PRelu(a, s) {B}", {"s": _w(rng, 8, 1, 1)}, 17),
        "depthwise": (
            f"{A} h = Conv <group = 8, pads = [1,1,1,1]> (a, d, e) {B}",
            {"d": _w(rng, 8, 1, 3, 3), "e": _w(rng, 8)},
            17,
        ),
        "depthwise with a multiplier": (
            f"{A} h = Conv <group = 8> (a, d) y = Conv (h, f)",
            {"d": _w(rng, 16, 1, 3, 3), "f": _w(rng, 4, 16, 1, 1)},
            17,
        ),
        "grouped": (
            f"{A} g = Conv <group = 2> (a, d, e) h = Relu(g) {B}",
            {"d": _w(rng, 8, 4, 3, 3), "e": _w(rng, 8)},
            17,
        ),
        "transposed": (
            f"{A} t = ConvTranspose <strides = [2,2]> (a, d, e) h = Relu(t) {B}",
            {"d": _w(rng, 8, 8, 2, 2), "e": _w(rng, 8)},
            17,
        ),
        "grouped and transposed": (
            f"{A} h = ConvTranspose <group = 2> (a, d, e) {B}",
            {"d": _w(rng, 8, 4, 2, 2), "e": _w(rng, 8)},
            17,
        ),
        "depthwise and transposed": (
            f"{A} h = ConvTranspose <group = 8> (a, d, e) {B}",
            {"d": _w(rng, 8, 1, 2, 2), "e": _w(rng, 8)},
            17,
        ),
        "a residual": (
            f"{A} r = Relu(a) c = Conv (r, d, e) h = Add(c, a) {B}",
            {"d": _w(rng, 8, 8, 1, 1), "e": _w(rng, 8)},
            17,
        ),
        "squeeze and excite": (
            f"{A} p = GlobalAveragePool(a) q = Conv (p, d, e) r = Relu(q) s = Conv (r, f) t = HardSigmoid(s)"
            f" h = Mul(a, t) {B}",
            {"d": _w(rng, 4, 8, 1, 1), "e": _w(rng, 4), "f": _w(rng, 8, 4, 1, 1)},
            17,
        ),
        "a constant per channel": (
            f"{A} m = Mul(a, s) h = Sub(m, o) {B}",
            {"s": _w(rng, 1, 8, 1, 1), "o": _w(rng, 8, 1, 1)},
            17,
        ),
        "concat": (
            f"{A} c = Conv (x, d) r = Concat <axis = 1> (a, a, c) y = Conv (r, f)",
            {"d": _w(rng, 6, 3, 1, 1), "f": _w(rng, 4, 22, 1, 1)},
            17,
        ),
        "concat with the input": (f"{A} h = Concat <axis = 1> (x, a) y = Conv (h, f)", {"f": _w(rng, 4, 11, 1, 1)}, 17),
        "split": (
            f"{A} p, q = Split <axis = 1> (a, sizes) r = Conv (p, d) s = Conv (q, f) y = Add(r, s)",
            {"sizes": np.array([3, 5]), "d": _w(rng, 4, 3, 1, 1), "f": _w(rng, 4, 5, 1, 1)},
            17,
        ),
        "a gated split": (
            f"{A} p, q = Split <axis = 1> (a) s = Sigmoid(q) h = Mul(p, s) y = Conv (h, d)",
            {"d": _w(rng, 4, 4, 1, 1)},
            17,
        ),
        "slices": (
            f"{A} p = Slice(a, zero, three, one) q = Slice(a, three, end, one) r = Conv (p, d)"
            " s = Conv (q, f) y = Add(r, s)",
            {
                "zero": np.array([0]),
                "one": np.array([1]),
                "three": np.array([3]),
                "end": np.array([2**31 - 1]),
                "d": _w(rng, 4, 3, 1, 1),
                "f": _w(rng, 4, 5, 1, 1),
            },
            17,
        ),
        "slices of opset 9": (
            f"{A} p = Slice <axes = [1], starts = [2], ends = [1000]> (a) y = Conv (p, d)",
            {"d": _w(rng, 4, 6, 1, 1)},
            9,
        ),
        "gather": (
            f"{A} h = Gather <axis = 1> (a, order) {B}",
            {"order": np.array([7, 0, -2, 1, 5, 2, 4, 3])},
            17,
        ),
        "pad, pool and resize": (
            f"{A} p = Pad(a, pads) m = MaxPool <kernel_shape = [2,2]> (p) v = AveragePool <kernel_shape = [2,2]> (m)"
            f' h = Resize <mode = "nearest"> (v, none, scales) {B}'.replace("none", ""),
            {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "scales": np.array([1, 1, 2, 2], np.float32)},
            17,
        ),
        "resize to a size": (
            f'{A} h = Resize <mode = "nearest"> (a, , , sizes) {B}',
            {"sizes": np.array([2, 8, 12, 12])},
            17,
        ),
        "channels that are padded": (
            f"{A} p = Pad(a, pads) y = Conv (p, f)",
            {"pads": np.array([0, 1, 0, 0, 0, 2, 0, 0]), "f": _w(rng, 4, 11, 1, 1)},
            17,
        ),
        "a shuffle": (
            f"{A} r = Reshape(a, apart) t = Transpose <perm = [0,2,1,3,4]> (r) h = Reshape(t, whole) {B}",
            {"apart": np.array([0, 2, 4, 8, 8]), "whole": np.array([0, -1, 8, 8])},
            17,
        ),
        "a layer for sequences": (
            f"{A} r = Reshape(a, flat) t = Transpose <perm = [2,0,1]> (r) l = LSTM <hidden_size = 4> (t, lw, lr)"
            " s = Squeeze(l, one) y = Unsqueeze(s, zero)",
            {
                "flat": np.array([0, 8, -1]),
                "lw": _w(rng, 1, 16, 8),
                "lr": _w(rng, 1, 16, 4),
                "one": np.array([1]),
                "zero": np.array([0]),
            },
            17,
        ),
        "a wide layer": (
            f"{A} s = Softmax <axis = 3> (a) r = ReduceMean <axes = [2,3], keepdims = 1> (s) h = Add(a, r) {B}",
            {},
            17,
        ),
    }


CASES = _cases(np.random.default_rng(14))


@pytest.mark.parametrize("case", CASES)
def test_what_goes_together(build, run, case):
    body, weights, opset = CASES[case]
    _check(
        build(_graph(body, opset), **{name: array for name, array in (FIRST | weights).items() if name in body}), run
    )


def _dense(rng: np.random.Generator):
    return {
        "flatten": ("h = Flatten(a) y = Gemm <transB = 1> (h, g, gb)", {"g": _w(rng, 5, 512), "gb": _w(rng, 5)}),
        "reshape": ("h = Reshape(a, flat) y = MatMul(h, g)", {"flat": np.array([-1, 512]), "g": _w(rng, 512, 5)}),
        "a computed batch": (
            "s = Shape(a) n = Slice(s, zero, one) t = Concat <axis = 0> (n, flat) h = Reshape(a, t) y = Gemm(h, g, gb)",
            {
                "zero": np.array([0]),
                "one": np.array([1]),
                "flat": np.array([512]),
                "g": _w(rng, 512, 5),
                "gb": _w(rng, 5),
            },
        ),
        "two layers": (
            "p = GlobalAveragePool(a) h = Flatten(p) i = Gemm(h, g) j = Relu(i) k = MatMul(j, k1) y = Add(k, k2)",
            {"g": _w(rng, 8, 6), "k1": _w(rng, 6, 5), "k2": _w(rng, 5)},
        ),
        "attention": (
            "r = Reshape(a, rows) t = Transpose <perm = [0,2,1]> (r) q0 = MatMul(t, wq) k0 = MatMul(t, wk)"
            " v0 = MatMul(t, wv)"
            " q1 = Reshape(q0, heads) q = Transpose <perm = [0,2,1,3]> (q1) k1 = Reshape(k0, heads)"
            " k = Transpose <perm = [0,2,3,1]> (k1) v1 = Reshape(v0, heads) v = Transpose <perm = [0,2,1,3]> (v1)"
            " s0 = MatMul(q, k) s = Softmax <axis = 3> (s0) o0 = MatMul(s, v) o1 = Transpose <perm = [0,2,1,3]> (o0)"
            " o = Reshape(o1, joined) e = MatMul(o, wo) y = ReduceMean <axes = [1], keepdims = 0> (e)",
            {
                "rows": np.array([0, 8, 64]),
                "heads": np.array([0, 64, 2, 4]),
                "joined": np.array([0, 64, 8]),
                "wq": _w(rng, 8, 8),
                "wk": _w(rng, 8, 8),
                "wv": _w(rng, 8, 8),
                "wo": _w(rng, 8, 5),
            },
        ),
    }


DENSE = _dense(np.random.default_rng(13))


@pytest.mark.parametrize("case", DENSE)
def test_into_matrices(build, run, case):
    body, weights = DENSE[case]
    text = _graph(f"{A} {body}", result="float[n,c] y").replace("x) =>", "x) =>")
    used = {name: array for name, array in (FIRST | weights).items() if name in ("w1", "b1") or name in weights}
    result, _ = _check(build(text, **used), run, least={"two layers": 2, "attention": 3}.get(case, 1))
    # Whole channels went: what reads them lost all of their rows.
    if "g" in weights and case != "two layers":
        assert 256 in result.graph.node(len(result.graph) - 1).inputs[1].shape


REFUSED = {
    "the output": ("y = Conv (x, w1, b1)", "they are the model's output"),
    "softmax": (f"{A} h = Softmax <axis = 1> (a) {B}", "Softmax runs over them"),
    "a mean": (f"{A} h = ReduceMean <axes = [1]> (a) y = Conv (h, f)", "ReduceMean runs over them"),
    "unknown": (f"{A} h = LRN <size = 3> (a) {B}", "LRN takes them"),
    "the input": (f"{A} h = Add(a, z) z0 = Identity(z) {B}", "Add combines them with values whose channels must stay"),
    "shape": (
        f"{A} s = Shape(a) c = Gather(s, i) d = Cast <to = 1> (c) h = Div(a, d) {B}",
        "Shape tells how many there are",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason(build, apply, tmp_path, case, rng):
    body, reason = REFUSED[case]
    weights = {**FIRST, "f": _w(rng, 4, 1, 1, 1), "i": np.array(1)}
    text = _graph(body)
    if "z0" in body:
        text = text.replace("x) =>", "x, float[n,8,8,8] z) =>").replace(" z0 = Identity(z)", "")
    model = build(text, **{name: array for name, array in weights.items() if f"{name}" in body.replace("Div", "")})
    np.savez(
        tmp_path / "c.npz", x=X, **({"z": rng.standard_normal((2, 8, 8, 8)).astype(np.float32)} if "z0" in body else {})
    )
    facts = [TensorFacts(name=v.name, dtype="float32", shape=("n", *v.shape[1:])) for v in model.graph.inputs]
    context = Context(calibration=open_dataset(str(tmp_path / "c.npz"), facts))
    _, evidence = apply(PruneChannels(multiple_of=2), model, context=context)
    assert evidence.refused is not None and reason in evidence.refused


NET = """
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    r = Relu(a)
    b = Conv (r, w2, b2)
    c = Relu(b)
    d = Conv <group = 16, pads = [1,1,1,1]> (c, w3)
    e = Conv (d, w4, b4)
    f = Add(e, r)
    g = Relu(f)
    p = GlobalAveragePool(g)
    q = Flatten(p)
    y = Gemm(q, w5, b5)
"""


def _weights(rng: np.random.Generator):
    return {
        "w1": _w(rng, 16, 3, 3, 3),
        "b1": _w(rng, 16),
        "w2": _w(rng, 16, 16, 1, 1),
        "b2": _w(rng, 16),
        "w3": _w(rng, 16, 1, 3, 3),
        "w4": _w(rng, 16, 16, 1, 1),
        "b4": _w(rng, 16),
        "w5": _w(rng, 16, 5),
        "b5": _w(rng, 5),
    }


WEIGHTS = _weights(np.random.default_rng(12))
SAMPLES = np.random.default_rng(11).standard_normal((48, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def context(tmp_path):
    np.savez(tmp_path / "calibration.npz", x=SAMPLES)
    facts = [TensorFacts(name="x", dtype="float32", shape=("n", 3, 8, 8))]
    return Context(calibration=open_dataset(str(tmp_path / "calibration.npz"), facts), probes=({"x": X},))


def _net(build, **changed):
    return build(_graph(NET, result="float[n,5] y"), **(WEIGHTS | changed))


def _error(run, model, result):
    expected, got = run(model, x=X)[0], run(result, x=X)[0]
    return float(((got - expected) ** 2).sum() / ((expected - expected.mean()) ** 2).sum())


@pytest.mark.parametrize("importance", ["activations", "magnitude"])
@pytest.mark.parametrize("objective", ["macs", "bytes"])
def test_the_pass(build, apply, run, context, importance, objective):
    model = _net(build)
    step = PruneChannels(ratio=0.3, importance=importance, objective=objective, multiple_of=4)
    result, evidence = apply(step, model, context=context)
    facts = evidence.facts
    assert evidence.refused is None and facts["objective_removed"] >= 0.3
    assert facts["parameters_after"] < facts["parameters_before"] and facts["macs_after"] < facts["macs_before"]
    assert facts["unprunable"] == "1 layer: they are the model's output"
    for node in result.graph:
        if node.op_type == "Conv":
            assert node.inputs[1].shape[0] % 4 == 0
    assert _error(run, model, result) < 1.0


def test_dead_channels_are_found_and_cost_nothing(build, apply, run, context):
    w2, b2, w3 = WEIGHTS["w2"].copy(), WEIGHTS["b2"].copy(), WEIGHTS["w3"]
    dead = [1, 4, 7, 11]
    w2[dead], b2[dead] = 0, -1
    model = _net(build, w2=w2, b2=b2, w3=w3)
    for reconstruct in (True, False):
        step = PruneChannels(ratio=0.05, multiple_of=4, reconstruct=reconstruct)
        result, evidence = apply(step, model, context=context)
        assert evidence.facts["channels_removed"] == 4
        assert _error(run, model, result) < 1e-6


def test_channels_that_follow_from_others_are_made_up_for(build, apply, run, context):
    # Channels 8 to 15 repeat 0 to 7: half of them can go, and the layers that read them can make up for it.
    w2, b2, w3 = WEIGHTS["w2"].copy(), WEIGHTS["b2"].copy(), WEIGHTS["w3"].copy()
    w2[8:], b2[8:], w3[8:] = w2[:8], b2[:8], w3[:8]
    model = _net(build, w2=w2, b2=b2, w3=w3, w4=WEIGHTS["w4"] * 10)
    keep = ("a",)
    errors = {}
    for reconstruct in (True, False):
        step = PruneChannels(ratio=0.2, multiple_of=8, reconstruct=reconstruct, keep=keep)
        result, _ = apply(step, model, context=context)
        errors[reconstruct] = _error(run, model, result)
    assert errors[True] < errors[False] / 20


def test_the_settings_keep_layers(build, apply, context):
    model = _net(build)
    _, evidence = apply(PruneChannels(keep=("a", "b")), model, context=context)
    assert "2 layers: the settings keep it" in evidence.refused or "the settings keep it" in evidence.refused


def test_half_precision(build, apply, run, context):
    names = ("w1", "b1", "w2", "b2")
    half = {name: WEIGHTS[name].astype(np.float16) for name in names}
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,3,8,8] x) => (float16[n,a,b,c] y) {
            h = Cast <to = 10> (x)
            a = Conv (h, w1, b1)
            r = Relu(a)
            y = Conv (r, w2, b2)
        }"""
    model = build(text, **half)
    result, evidence = apply(PruneChannels(multiple_of=4), model, context=context)
    assert evidence.refused is None and evidence.facts["layers_fitted"] == 1
    assert {value.dtype for value in result.graph.initializers.values()} == {next(iter(model.graph.outputs)).dtype}


@pytest.mark.parametrize("setting", [{"ratio": 0}, {"ratio": 1}, {"at_most": 1.0}, {"multiple_of": 0}, {"samples": 0}])
def test_settings_that_make_no_sense(setting):
    with pytest.raises(ValueError, match="must be"):
        PruneChannels(**setting)


def test_what_was_quantized_is_refused(build, apply, context):
    model = build(
        _graph("q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Conv (d, w1)"),
        w1=WEIGHTS["w1"],
        s=np.float32(0.1),
        z=np.int8(0),
    )
    _, evidence = apply(PruneChannels(), model, context=context)
    assert "quantized already" in evidence.refused


@st.composite
def _networks(draw):
    """A stem and some blocks of it: residual, dense (Concat), squeeze-and-excite, depthwise, grouped, split."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    lines, weights, width = ["h0 = Conv <pads = [1,1,1,1]> (x, w)"], {"w": _w(rng, 8, 3, 3, 3)}, 8
    for n in range(1, draw(st.integers(1, 5)) + 1):
        kind = draw(st.sampled_from(["residual", "concat", "excite", "depthwise", "grouped", "split", "plain", "norm"]))
        h, out = f"h{n - 1}", f"h{n}"
        if kind == "residual":
            lines += [
                f"a{n} = Conv({h}, u{n})",
                f"b{n} = Relu(a{n})",
                f"c{n} = Conv(b{n}, v{n})",
                f"{out} = Add({h}, c{n})",
            ]
            weights |= {f"u{n}": _w(rng, 6, width, 1, 1), f"v{n}": _w(rng, width, 6, 1, 1)}
        elif kind == "concat":
            lines += [f"a{n} = Conv({h}, u{n})", f"{out} = Concat <axis = 1> (a{n}, {h})"]
            weights |= {f"u{n}": _w(rng, 4, width, 1, 1)}
            width += 4
        elif kind == "excite":
            lines += [
                f"a{n} = GlobalAveragePool({h})",
                f"b{n} = Conv(a{n}, u{n})",
                f"c{n} = Conv(b{n}, v{n})",
                f"d{n} = Sigmoid(c{n})",
                f"{out} = Mul({h}, d{n})",
            ]
            weights |= {f"u{n}": _w(rng, 4, width, 1, 1), f"v{n}": _w(rng, width, 4, 1, 1)}
        elif kind == "depthwise":
            lines += [f"{out} = Conv <group = {width}, pads = [1,1,1,1]> ({h}, u{n}, v{n})"]
            weights |= {f"u{n}": _w(rng, width, 1, 3, 3), f"v{n}": _w(rng, width)}
        elif kind == "grouped":
            lines += [f"{out} = Conv <group = 2> ({h}, u{n})"]
            weights |= {f"u{n}": _w(rng, 12, width // 2, 1, 1)}
            width = 12
        elif kind == "split":
            lines += [f"a{n}, b{n} = Split <axis = 1> ({h})", f"{out} = Mul(a{n}, b{n})"]
            width //= 2
            if width % 2:
                lines += [f"{out}e = Concat <axis = 1> ({out}, {out})"]
                lines[-2], lines[-1] = lines[-2].replace(out, f"{out}d"), f"{out} = Concat <axis = 1> ({out}d, {out}d)"
                width *= 2
        elif kind == "norm":
            lines += [f"a{n} = BatchNormalization({h}, s{n}, o{n}, m{n}, v{n})", f"{out} = Relu(a{n})"]
            weights |= {f"{k}{n}": np.abs(_w(rng, width)) for k in "somv"}
        else:
            lines += [f"a{n} = Conv({h}, u{n})", f"{out} = HardSigmoid(a{n})"]
            width_before, width = width, draw(st.sampled_from([4, 8, 10]))
            weights |= {f"u{n}": _w(rng, width, width_before, 1, 1)}
    lines.append(f"y = Conv(h{n}, last)")
    weights["last"] = _w(rng, 4, width, 1, 1)
    return _graph("\n".join(lines)), weights


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(_networks())
def test_any_topology(build, run, network):
    text, weights = network
    _check(build(text, **weights), run, least=0)


@pytest.mark.slow
@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(_networks())
def test_any_topology_through_the_pass(build, apply, run, tmp_path_factory, network):
    text, weights = network
    path = tmp_path_factory.mktemp("samples") / "calibration.npz"
    np.savez(path, x=SAMPLES[:8])
    facts = [TensorFacts(name="x", dtype="float32", shape=("n", 3, 8, 8))]
    context = Context(calibration=open_dataset(str(path), facts), probes=({"x": X},))
    model = build(text, **weights)
    result, evidence = apply(PruneChannels(ratio=0.2, multiple_of=2), model, context=context)
    assert evidence.refused is None or "there is no channel" in evidence.refused, evidence.refused
    assert [one.shape for one in run(result, x=X)] == [one.shape for one in run(model, x=X)]
    if evidence.refused is None:
        assert evidence.facts["macs_after"] < evidence.facts["macs_before"]
