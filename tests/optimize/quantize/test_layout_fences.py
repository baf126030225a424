"""Nodes between 8-bit convolutions that onnxruntime turns to channels last, and turns wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import all_nodes, is_operator, serialized
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.quantize.layout_fences import fence, write_out_axes
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.simplify.infer_shapes import InferShapes
from edgedeploy.values.model import TensorFacts


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


BETWEEN: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "Pad, axes from behind": ("p = Pad (r, k, v, a)", {"k": ints(1, 2, 1, 0), "v": np.float32(0.5), "a": ints(-1, 2)}),
    "Pad, one axis": ("p = Pad (r, k, v, a)", {"k": ints(1, 2), "v": np.float32(0), "a": ints(3)}),
    "Pad, reflecting": ('p = Pad <mode = "reflect"> (r, k, , a)', {"k": ints(1, 2, 1, 0), "a": ints(2, 3)}),
    "Resize, scales": ('p = Resize <mode = "nearest", axes = [3, 2]> (r, , s)', {"s": floats(2, 1.5)}),
    "Resize, sizes": ('p = Resize <mode = "linear", axes = [-2, -1]> (r, , , s)', {"s": ints(20, 25)}),
    "Resize, cropping": (
        'p = Resize <mode="linear", axes = [2, 3], coordinate_transformation_mode = "tf_crop_and_resize"> (r, roi, s)',
        {"roi": floats(0, 0.25, 0.5, 1), "s": floats(2, 2)},
    ),
    "Resize, keeping proportions": (
        'p = Resize <mode = "linear", axes = [2, 3], keep_aspect_ratio_policy = "not_larger"> (r, , , s)',
        {"s": ints(20, 25)},
    ),
    "Resize, cubic and smaller": ('p = Resize <mode = "cubic"> (r, , s)', {"s": floats(1, 1, 0.5, 0.5)}),
    "Resize, cubic, axes": ('p = Resize <mode = "cubic", axes = [2, 3]> (r, , s)', {"s": floats(0.5, 0.5)}),
    "CenterCropPad": ("p = CenterCropPad <axes = [2, 3]> (r, s)", {"s": ints(10, 12)}),
}
"""Nodes that read `r` and give `p`."""


def _model(build: Callable[..., ir.Model], rng: np.random.Generator, name: str) -> ir.Model:
    node, constants = BETWEEN[name]
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[N,3,16,16] x) => (float[N,8,H,W] y) {{
            c = Conv (x, w1, b1)
            r = Relu (c)
            {node}
            y = Conv (p, w2)
        }}"""
    w1, w2 = rng.standard_normal((16, 3, 3, 3)) * 0.2, rng.standard_normal((8, 16, 3, 3)) * 0.1
    weights = {"w1": w1.astype(np.float32), "b1": rng.standard_normal(16).astype(np.float32)}
    return build(text, **weights, w2=w2.astype(np.float32), **constants)


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("shapes_are_known", [True, False])
def test_the_result_runs_with_integer_kernels(
    name: str,
    shapes_are_known: bool,
    build: Callable[..., ir.Model],
    apply: Callable[..., Any],
    run: Callable[..., list[np.ndarray]],
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal((8, 3, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x)
    inputs = (TensorFacts(name="x", dtype="float32", shape=("N", 3, 16, 16)),)
    context = Context(calibration=open_dataset(str(tmp_path / "c.npz"), inputs), probes=[{"x": x[:2]}])
    model = _model(build, rng, name)
    expected = run(model, x=x)[0]
    if shapes_are_known:
        model, _ = apply(InferShapes(), model, context=context)
    result, evidence = apply(QuantizeStatic(), model, context=context)
    assert evidence.refused is None and evidence.facts["nodes_quantized"] == 2
    for exact in (True, False):
        found = run(result, x=x, exact=exact)[0]
        assert found.shape == expected.shape
        assert 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()) > 25


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_written_out_or_fenced_means_the_same(
    name: str,
    build: Callable[..., ir.Model],
    apply: Callable[..., Any],
    run: Callable[..., list[np.ndarray]],
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)
    model = _model(build, rng, name)
    expected = run(model, x=x)[0]
    known, _ = apply(InferShapes(), model)
    written_out, fenced = write_out_axes(known), fence(known)
    assert written_out + fenced >= 1
    np.testing.assert_allclose(run(known, x=x)[0], expected, rtol=1e-5, atol=1e-5)
    if name.startswith("Pad"):
        assert fenced == 0 and all(len(node.inputs) <= 3 for node in all_nodes(known) if is_operator(node, "Pad"))


def test_what_needs_no_fence_gets_none(build: Callable[..., ir.Model]) -> None:
    model = build(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,3,4,4] x) => (float[1,3,16,17] y) <int64[8] k = {0,0,0,0,0,0,0,1}, float[4] s = {1,1,4,4}>
        { r = Resize <mode = "nearest"> (x, , s) y = Pad (r, k) }"""
    )
    assert write_out_axes(model) == fence(model) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Pad, axes from behind", "Resize, sizes", "Resize, cubic and smaller"])
def test_a_result_that_fails_all_the_same_is_told_with_a_node_of_the_user(
    name: str, build: Callable[..., ir.Model], tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another kind of node would fail, that is not known of yet."""
    for precaution in ("fence", "write_out_axes"):
        monkeypatch.setattr(f"edgedeploy.optimize.quantize.quantize_static.{precaution}", lambda model: 0)
    (tmp_path / "m.onnx").write_bytes(serialized(_model(build, rng, name)))
    np.savez(tmp_path / "c.npz", x=rng.standard_normal((8, 3, 16, 16)).astype(np.float32))
    data = str(tmp_path / "c.npz")
    refused = optimize(
        tmp_path / "m.onnx", load_recipe("int8"), tmp_path / "q.onnx", calibration=data, evaluation=data, max_drop=1.0
    )
    assert not refused.accepted
    (words,) = [reason for reason in refused.reasons if "keep_float" in reason]
    assert f"'p' ({name.split(',')[0]})" in words and "keep_float = ['c']" in words
    text = (Path(__file__).parents[3] / "quantize/int8.toml").read_text()
    recipe = tmp_path / "own.toml"
    recipe.write_text(text.replace('name = "quantize-static"', 'name = "quantize-static"\nkeep_float = ["c"]'))
    kept = optimize(
        tmp_path / "m.onnx", load_recipe(str(recipe)), tmp_path / "q.onnx",
        calibration=data, evaluation=data, max_drop=1.0, allowed=("larger",),
    )  # fmt: skip
    assert kept.accepted, kept.reasons
