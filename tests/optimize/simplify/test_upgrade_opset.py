from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import all_nodes, opset
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.simplify.upgrade_opset import UpgradeOpset

X = np.array([[1.0, 5.0, 2.0]], np.float32)


def test_a_model_whose_operators_changed_is_converted(build, apply, run):
    # The axes of Squeeze were an attribute until 13, and Softmax flattened.
    model = build("""
        <ir_version: 6, opset_import: ["" : 11]>
        g (float[N,3] x) => (float[N,3] y) {
            u = Unsqueeze <axes = [0]> (x)
            s = Squeeze <axes = [0]> (u)
            y = Softmax <axis = 1> (s)
        }""")
    expected = run(model, x=X)[0]
    result, evidence = apply(UpgradeOpset(to=17), model, {"x": X})
    assert evidence.refused is None and evidence.changed
    assert opset(result) == 17
    assert result.ir_version >= 8
    np.testing.assert_allclose(run(result, x=X)[0], expected, rtol=1e-6)


def test_a_model_whose_operators_mean_the_same_only_gets_the_number(build, apply, operators):
    model = build("""
        <ir_version: 7, opset_import: ["" : 13]>
        g (float[N,3] x) => (float[N,3] y) { a = Softmax(x) y = Add(a, x) }""")
    result, _ = apply(UpgradeOpset(to=14), model, {"x": X})
    assert opset(result) == 14
    assert operators(result) == operators(model)


def test_a_newer_model_stays(build, apply):
    model = build('<ir_version: 9, opset_import: ["" : 19]> g (float[N,3] x) => (float[N,3] y) { y = Softmax(x) }')
    result, evidence = apply(UpgradeOpset(to=17), model, {"x": X})
    assert not evidence.changed and opset(result) == 19


def test_metadata_and_interface_survive(build, apply):
    model = build("""
        <ir_version: 6, opset_import: ["" : 11], producer_name: "someone">
        g (float[N,3] x) => (float[N,3] y) { y = Softmax <axis = 1> (x) }""")
    model.metadata_props["names"] = "cat,dog"
    result, _ = apply(UpgradeOpset(to=17), model, {"x": X})
    assert result.metadata_props["names"] == "cat,dog"
    assert result.producer_name == "someone"
    assert [str(value.shape) for value in result.graph.inputs] == [str(value.shape) for value in model.graph.inputs]


def test_a_model_with_functions_is_refused(build, apply):
    model = build("""
        <ir_version: 8, opset_import: ["" : 11, "local" : 1]>
        g (float[N,3] x) => (float[N,3] y) { y = local.twice(x) }
        <domain: "local", opset_import: ["" : 11]>
        twice (a) => (b) { b = Add(a, a) }""")
    _, evidence = apply(UpgradeOpset(to=17), model)
    assert evidence.refused is not None and "functions" in evidence.refused


IMAGE = np.random.default_rng(4).standard_normal((2, 4, 5, 6)).astype(np.float32)
OLD = {
    "upsample": (7, "y = Upsample <mode = 'nearest', scales = [1.0,1.0,1.7,1.3]> (x)"),
    "upsample with scales as input": (9, "y = Upsample <mode = 'linear'> (x, s)"),
    "first resize": (10, "y = Resize <mode = 'nearest'> (x, s)"),
    "first resize, linear": (10, "y = Resize <mode = 'linear'> (x, s)"),
    "softmax over the rest": (7, "y = Softmax <axis = 1> (x)"),
    "hardmax over the rest": (9, "y = Hardmax <axis = 2> (x)"),
    "hardmax, then more": (11, "h = Hardmax(x) a = Hardmax <axis = -1> (h) y = Add(a, h)"),
    "bounds that are attributes": (8, "y = Clip <min = -0.5, max = 0.5> (x)"),
    "padding that is an attribute": (9, "y = Pad <mode = 'reflect', pads = [0,0,1,1,0,0,1,1]> (x)"),
    "slice by attributes": (9, "y = Slice <axes = [1,2], starts = [1,-2], ends = [3,100]> (x)"),
    "axes that are attributes": (11, "u = Unsqueeze <axes = [0]> (x) r = ReduceSum <axes = [2]> (u) y = Squeeze(r)"),
    "dropout": (7, "y = Dropout <ratio = 0.3> (x)"),
    "split": (11, "a, b = Split <axis = 1, split = [1,3]> (x) y = Concat <axis = 1> (b, a)"),
    "top k": (9, "y, i = TopK <axis = 1, k = 2> (x)"),
    "in a branch": (
        10,
        """
        r = ReduceSum <keepdims = 0> (x)
        z = Sub(r, r)
        c = Greater(z, r)
        y = If (c) <
            then_branch = t () => (float[N,4,5,6] p) { u = Unsqueeze <axes = [0]> (x) p = Squeeze <axes = [0]> (u) },
            else_branch = e () => (float[N,4,5,6] q) { q = Clip <min = 0.0> (x) }
        >""",
    ),
}


@pytest.mark.parametrize("to", [13, 17, 21])
@pytest.mark.parametrize("name", OLD)
def test_operators_of_old_versions_keep_their_results(build, run, name, to):
    version, nodes = OLD[name]
    nodes = nodes.replace("'", '"')
    model = build(
        f'<ir_version: 4, opset_import: ["" : {version}]> g (float[N,4,5,6] x) => (float[A,B,C,D] y) {{ {nodes} }}',
        s=np.array([1, 1, 1.7, 1.3], np.float32),
    )
    if "s)" not in nodes:
        del model.graph.initializers["s"]
    expected = run(model, x=IMAGE)[0]
    # Checked here, not by the pipeline, which would undo what is wrong.
    result, (evidence,) = run_passes(model, [UpgradeOpset(to=to)], Context())
    assert evidence.refused is None and opset(result) == to
    np.testing.assert_allclose(run(result, x=IMAGE)[0], expected, rtol=1e-6, atol=1e-6)
    assert not any(node.op_type == "Constant" for node in all_nodes(result))


@pytest.mark.parametrize("to", [3, 1000])
def test_settings_are_checked(to):
    with pytest.raises(ValueError, match="to must lie between"):
        UpgradeOpset(to=to)
