from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgedeploy.optimize.quantize.histogram import Range
from edgedeploy.optimize.quantize.quant_params import activation_params, quantize_bias, quantize_weight, weight_max
from edgedeploy.values.target import Cpu, OperatingSystem, Target

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)


@given(low=FLOATS, high=FLOATS, signed=st.booleans())
def test_a_grid_holds_zero_exactly_and_covers_its_range(low, high, signed):
    seen = Range(min(low, high, 0.0), max(low, high, 0.0))
    params = activation_params(seen, signed=signed)
    lowest = -128 if signed else 0
    assert params.scale > 0 and np.isfinite(np.float32(params.scale))
    assert lowest <= params.zero_point <= lowest + 255
    if params.scale == 1.0 and seen.high - seen.low < 1e-30:
        return
    # Half a step is lost at most, since the zero point is rounded.
    assert params.scale * (lowest - params.zero_point) <= seen.low + 0.501 * params.scale
    assert params.scale * (lowest + 255 - params.zero_point) >= seen.high - 0.501 * params.scale


def test_what_is_never_negative_begins_at_the_lowest_number():
    # So that the runtime can drop the Relu before it.
    assert activation_params(Range(0.0, 5.0), signed=True).zero_point == -128
    assert activation_params(Range(0.0, 5.0), signed=False).zero_point == 0


@given(weight=arrays(np.float32, array_shapes(min_dims=2, max_dims=4, max_side=5), elements=FLOATS))
def test_a_weight_comes_back_within_half_a_step(weight):
    integers, scales = quantize_weight(weight, 0)
    assert integers.dtype == np.int8 and integers.min(initial=0) >= -127
    steps = scales.reshape(-1, *(1,) * (weight.ndim - 1)).astype(np.float64)
    error = np.abs(integers * steps - weight.astype(np.float64))
    # A channel whose scale would be no normal number is zero, and its error the weight itself.
    assert (error <= np.maximum(0.5001 * steps, 1e-30)).all()


def test_a_channel_of_zeros_has_a_scale():
    integers, scales = quantize_weight(np.zeros((2, 3), np.float32), 0)
    assert not integers.any() and (scales > 0).all()


@given(
    weight=arrays(np.float32, (3, 4), elements=st.floats(-(2.0**-20), 2.0**-20, width=32)),
    bias=arrays(np.float32, (3,), elements=st.floats(-(2.0**20), 2.0**20, width=32)),
    input_scale=st.floats(1e-6, 10.0),
)
def test_a_bias_never_overflows_32_bits(weight, bias, input_scale):
    _, scales = quantize_weight(weight, 0, bias=bias, input_scale=input_scale)
    units = (input_scale * scales.astype(np.float64)).astype(np.float32)
    integers = quantize_bias(bias, units)
    error = np.abs(integers.astype(np.float64) * units - bias)
    assert (error <= 0.51 * units + 1e-6 * np.abs(bias)).all()


def test_one_scale_for_all_channels_fits_the_largest_bias():
    weight = np.full((2, 2), 1e-8, np.float32)
    bias = np.array([1000.0, 0.0], np.float32)
    _, scale = quantize_weight(weight, None, bias=bias, input_scale=0.01)
    assert scale.shape == () and abs(quantize_bias(bias, scale * 0.01)[0]) < 2**31 - 1


def _target(architecture, *features):
    return Target(
        title="t",
        architecture=architecture,
        memory_mb=(1024,),
        cpu=Cpu(core="c", cores=1, clock_mhz=1, features=features),
        os=OperatingSystem(name="o", python="3.11", glibc="2.36"),
        backends=("onnxruntime",),
        sources=(),
    )


@pytest.mark.parametrize(
    ("target", "largest"),
    [
        (None, 127),
        (_target("aarch64", "asimd"), 127),
        (_target("x86_64", "avx2"), 63),
        (_target("x86_64", "avx2", "avx512_vnni"), 127),
        (_target("x86_64", "avx_vnni"), 127),
    ],
)
def test_weights_are_smaller_where_kernels_saturate(target, largest):
    assert weight_max(target) == largest
    integers, _ = quantize_weight(np.array([[1.0, -2.0]], np.float32), None, weight_max=weight_max(target))
    assert np.abs(integers).max() == largest
