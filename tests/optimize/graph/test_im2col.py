"""Rows times weights against what onnxruntime computes for the layer, and which rows are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeploy.optimize.graph.im2col import ConvGeometry, conv_geometry, element_rows, matrix_rows, window_rows

SETTINGS = {
    "plain": ("", (4, 3, 3, 2)),
    "padded": ("pads = [1,0,2,1], strides = [2,1], dilations = [1,2]", (4, 3, 3, 2)),
    "same, more at the end": ('auto_pad = "SAME_UPPER", strides = [2,2]', (4, 3, 2, 4)),
    "same, more at the beginning": ('auto_pad = "SAME_LOWER", strides = [2,3]', (4, 3, 2, 4)),
    "valid": ('auto_pad = "VALID", strides = [2,1]', (4, 3, 3, 3)),
    "grouped": ("group = 3, pads = [1,1,1,1]", (6, 1, 3, 3)),
    "one axis": ("pads = [2,1], dilations = [2]", (4, 3, 3)),
    "three axes": ("pads = [1,0,1,0,1,0]", (4, 3, 3, 2, 2)),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_windows_times_weights_are_the_convolution(build, run, rng, case):
    attributes, shape = SETTINGS[case]
    weight = rng.standard_normal(shape).astype(np.float32)
    x = rng.standard_normal((2, 3, *(7,) * (len(shape) - 2))).astype(np.float32)
    extents = ",".join("abc"[: len(shape) - 2])
    node = f"Conv <{attributes}> (x, w)" if attributes else "Conv (x, w)"
    model = build(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float{list(x.shape)} x) => (float[n,m,{extents}] y) '
        f"{{ y = {node} }}",
        w=weight,
    )
    geometry = conv_geometry(next(iter(model.graph)), shape[2:])
    rows = window_rows(geometry, x, 10**6, rng)
    assert rows.dtype == np.float32
    product = rows @ weight.reshape(geometry.groups, shape[0] // geometry.groups, -1).transpose(0, 2, 1)
    expected = np.moveaxis(run(model, x=x)[0], 1, -1).reshape(-1, geometry.groups, shape[0] // geometry.groups)
    np.testing.assert_allclose(product, expected.transpose(1, 0, 2), rtol=1e-4, atol=1e-4)


def _geometry(**fields: object) -> ConvGeometry:
    whole = {"groups": 1, "kernel": (3,), "strides": (1,), "dilations": (1,), "pads": (1, 1), "auto_pad": "NOTSET"}
    return ConvGeometry(**(whole | fields))  # type: ignore[arg-type]


def test_what_is_padded_is_zero_beside_infinity_too():
    x = np.array([[[np.inf, 1.0]]])
    rows = window_rows(_geometry(), x, 10, np.random.default_rng(0))
    np.testing.assert_array_equal(rows[0], [[0, np.inf, 1], [np.inf, 1, 0]])


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(0, 99))
def test_drawn_rows_are_some_of_all_and_none_twice(limit, seed):
    x = np.arange(2 * 2 * 9, dtype=np.float64).reshape(2, 2, 9)
    every = window_rows(_geometry(pads=(0, 0)), x, 10**6, np.random.default_rng(0))[0]
    drawn = window_rows(_geometry(pads=(0, 0)), x, limit, np.random.default_rng(seed))[0]
    assert len(drawn) == min(limit, len(every)) == len(np.unique(drawn, axis=0))
    assert {tuple(row) for row in drawn} <= {tuple(row) for row in every}


@pytest.mark.parametrize("limit", [5, 1000])
def test_the_same_places_whatever_the_channels(limit):
    x = np.arange(3 * 4 * 25, dtype=np.float32).reshape(3, 4, 5, 5)
    geometry = _geometry(kernel=(2, 3), strides=(1, 2), dilations=(1, 1), pads=(1, 0, 0, 1))
    whole = window_rows(geometry, x, limit, np.random.default_rng(3))
    fewer = window_rows(geometry, x[:, :2], limit, np.random.default_rng(3))
    np.testing.assert_array_equal(whole[:, :, : 2 * math.prod(geometry.kernel)], fewer)


def test_rows_of_matrices_and_of_single_elements(rng):
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(matrix_rows(x, 100, rng), x.reshape(1, 6, 4))
    assert matrix_rows(x, 4, rng).shape == (1, 4, 4)
    image = rng.standard_normal((2, 4, 3, 3)).astype(np.float32)
    rows = element_rows(image, 2, 100, rng)
    assert rows.shape == (2, 18, 2)
    np.testing.assert_array_equal(rows[1, 9 + 4], image[1, 2:, 1, 1])
