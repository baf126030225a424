"""What share of weights and work a recipe reached is said, and why it was not more."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.prune.prune_channels import PruneChannels
from edgedeploy.optimize.prune.sparsify import Sparsify
from edgedeploy.optimize.quantize.convert_float16 import ConvertFloat16
from edgedeploy.optimize.quantize.quantize_dynamic import QuantizeDynamic
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.quantize.quantize_weights import QuantizeWeights
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.reach import reach_notes
from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.report.content.wording import reach_in_words
from edgedeploy.targets.load import load_target
from edgedeploy.values.evidence import PassEvidence, PassReach
from edgedeploy.values.model import TensorFacts

RNG = np.random.default_rng(7)
# A product of 1,024 weights, a larger one, and a convolution transposed, which no quantizer has a kernel for.
MODEL = """<ir_version: 8, opset_import: ["": 17]>
g (float[1,32] x) => (float[1,4,16,16] y) <int64[4] picture = {1, 4, 8, 8}> {
    a = MatMul(x, small)
    b = MatMul(a, large)
    p = Reshape(b, picture)
    y = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (p, up)
}"""
WEIGHTS = {
    "small": RNG.standard_normal((32, 32)).astype(np.float32),
    "large": RNG.standard_normal((32, 256)).astype(np.float32),
    "up": RNG.standard_normal((4, 4, 2, 2)).astype(np.float32),
}
TOTAL = sum(array.nbytes for array in WEIGHTS.values())
FEED = {"x": np.ones((1, 32), np.float32)}


@pytest.fixture
def context(tmp_path) -> Context:
    np.savez(tmp_path / "c.npz", x=RNG.standard_normal((12, 32)).astype(np.float32))
    dataset = open_dataset(str(tmp_path / "c.npz"), (TensorFacts(name="x", dtype="float32", shape=(1, 32)),))
    target = load_target("rpi5")
    return Context(calibration=dataset, probes=[FEED], target=target)


@pytest.mark.parametrize(
    "step", [QuantizeDynamic(), QuantizeStatic(), ConvertFloat16()], ids=["dynamic", "static", "float16"]
)
def test_a_pass_says_what_weights_and_work_it_reached(build, context, step) -> None:
    _, (done,) = run_passes(build(MODEL, **WEIGHTS), [step], context)
    assert done.reach is not None, done.refused
    assert (done.reach.weight_bytes, done.reach.weight_bytes_total) == (4 * (1024 + 8192), TOTAL)
    # 32 · 32 and 32 · 256 for the products; the other takes 64 places, 4 · 4 channels and 4 places of the kernel.
    assert (done.reach.macs, done.reach.macs_total) == (1024 + 8192, 1024 + 8192 + 64 * 4 * 4 * 4)
    assert not list(reach_notes((done,)))
    if hasattr(step, "operators"):
        assert "ConvTranspose (256 bytes): it takes" in done.reach.left
        assert "ConvTranspose (256 bytes)" in reach_in_words(done)


@pytest.mark.parametrize(
    ("step", "reached", "why"),
    [
        (QuantizeDynamic(keep_float=("b",)), 4096, "1 MatMul: "),
        (QuantizeStatic(keep_float=("b",)), 4096, "1 MatMul: "),
        (QuantizeWeights(keep_float=("b",)), 4096, "1 MatMul: "),
        (ConvertFloat16(keep_float=("b",)), 4096, "1 MatMul: "),
        (QuantizeStatic(only=("a",)), 4096, "1 MatMul: "),
        (QuantizeWeights(smallest=2000), 4 * 8192, "it is small"),
    ],
)
def test_what_it_did_not_reach_has_its_reasons(build, context, step, reached, why) -> None:
    _, (done,) = run_passes(build(MODEL, **WEIGHTS), [step], context)
    assert done.reach is not None, done.refused
    assert done.reach.weight_bytes == reached
    assert why in done.reach.left
    notes = list(reach_notes((done,)))
    assert bool(notes) == (reached < TOTAL / 2)
    if notes:
        assert notes[0].startswith(f"the recipe reached only {reached / TOTAL:.1%} of the bytes of weights (4,096 of ")
        assert why in notes[0]


def test_a_weight_that_is_computed_is_named(build, context) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[1,32] x) => (float[1,256] y) { a = MatMul(x, small) k = Softmax(large) y = MatMul(a, k) }"""
    _, (done,) = run_passes(build(text, small=WEIGHTS["small"], large=WEIGHTS["large"]), [QuantizeDynamic()], context)
    assert done.reach is not None and done.reach.weight_bytes == 4096
    (note,) = reach_notes((done,))
    assert "1 MatMul: its weight is computed" in note and "Softmax (32,768 bytes)" in note
    assert "of the MACs" in note


def test_two_passes_add_up(build, context) -> None:
    steps = [QuantizeDynamic(only=("a",)), QuantizeWeights()]
    _, done = run_passes(build(MODEL, **WEIGHTS), steps, context)
    assert done[1].reach is not None and done[1].reach.weight_bytes >= 4 * 8192
    assert done[1].reach.macs is None, "the computation stays as it is"
    assert not list(reach_notes(done))
    assert list(reach_notes(done[:1]))


def test_zeros_are_weights_that_were_reached(build, context) -> None:
    _, (done,) = run_passes(build(MODEL, **WEIGHTS), [Sparsify(smallest=2000)], context)
    assert done.reach is not None, done.refused
    assert done.reach.weight_bytes == 4 * 8192
    assert done.reach.left == "2 weights, 4,352 bytes: small, or of layers that it does not take"


def test_passes_that_prepare_and_those_that_did_nothing_reached_nothing_to_speak_of(build, context) -> None:
    _, done = run_passes(build(MODEL, **WEIGHTS), [FoldConstants(), QuantizeDynamic(only=("none",))], context)
    assert [each.reach for each in done] == [None, None]
    assert [reach_in_words(each) for each in done] == ["", ""]
    assert not list(reach_notes(done))


def pruned(removed: float) -> PassEvidence:
    reach = PassReach(weight_bytes=10, weight_bytes_total=1000, macs=1, macs_total=10)
    facts = {"objective_wanted": 0.2, "objective_removed": removed, "unprunable": "3 Conv: its output is read"}
    return PassEvidence(name=PruneChannels.title(), changed=True, refused=None, facts=facts, size_bytes=1, reach=reach)


def test_pruning_that_removed_less_than_was_asked_for_says_so() -> None:
    assert list(reach_notes((pruned(0.0312),))) == [
        "prune-channels removed 3.12% of what it counts by, and 20% was asked for: 3 Conv: its output is read"
    ]
    assert list(reach_notes((pruned(0.2034),))) == []


def test_reasons_that_the_facts_have_are_not_said_twice() -> None:
    done = structs.replace(pruned(0.3), facts={"left_in_float": "2 Conv: it is small"})
    left = PassReach(
        weight_bytes=1, weight_bytes_total=4, left="2 Conv: it is small; LSTM (8 bytes): it takes Conv only"
    )
    assert reach_in_words(structs.replace(done, reach=left)) == (
        "reached 25.0% of the weight bytes; not reached: LSTM (8 bytes): it takes Conv only"
    )
