"""Each kernel in C against NumPy, on drawn shapes: rows, columns and windows that fill no block and no register."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgedeploy.compile.native
from edgedeploy.compile.backends.native import FLAGS
from edgedeploy.compile.dependencies.zig import Machine, compile_c
from edgedeploy.compile.native.packing import packed_bias, packed_depthwise, packed_kernel, packed_matrix
from edgedeploy.foundation.progress import SILENT

pytestmark = [
    pytest.mark.keeps_cache,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="loads kernels that are compiled for x86-64"),
]

_KERNELS = Path(edgedeploy.compile.native.__file__).parent / "kernels"
_SOURCE = Path(__file__).with_name("kernels_called.c")


class _Finish(ctypes.Structure):
    _fields_ = [("activation", ctypes.c_int), ("alpha", ctypes.c_float), ("beta", ctypes.c_float)]


@dataclass(frozen=True)
class _Window:
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def out(self) -> tuple[int, int]:
        sizes = [
            (extent + self.before[a] + self.after[a] - (self.kernel[a] - 1) * self.dilation[a] - 1) // self.stride[a]
            + 1
            for a, extent in enumerate((self.height, self.width))
        ]
        return sizes[0], sizes[1]

    def c(self) -> ctypes.Array[ctypes.c_int]:
        pairs = ((self.height, self.width), self.out, self.kernel, self.stride, self.dilation, self.before)
        return (ctypes.c_int * 12)(*(number for pair in pairs for number in pair))

    def places(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Row and column of the result, number of the place in the window, row and column of the image."""
        for y in range(self.out[0]):
            for x in range(self.out[1]):
                for tap in range(self.kernel[0] * self.kernel[1]):
                    i, j = divmod(tap, self.kernel[1])
                    yield (
                        y,
                        x,
                        tap,
                        y * self.stride[0] - self.before[0] + i * self.dilation[0],
                        x * self.stride[1] - self.before[1] + j * self.dilation[1],
                    )

    def inside(self, at_y: int, at_x: int) -> bool:
        return 0 <= at_y < self.height and 0 <= at_x < self.width


def _pair(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


_WINDOWS = st.builds(
    _Window,
    st.integers(1, 9),
    st.integers(1, 13),
    st.one_of(_pair(1, 4), st.sampled_from([(3, 3), (5, 5)])),
    st.one_of(_pair(1, 3), st.just((1, 1)), st.just((2, 2))),
    st.one_of(_pair(1, 2), st.just((1, 1))),
    _pair(0, 2),
    _pair(0, 2),
).filter(lambda window: min(window.out) >= 1)

_ACTIVATIONS = st.sampled_from([(0, 0.0, 0.0), (1, -0.5, 0.75), (2, 0.1, 0.0), (7, 0.0, 0.0)])


def _activated(x: np.ndarray, activation: tuple[int, float, float]) -> np.ndarray:
    kind, alpha, beta = activation
    if kind == 1:
        return np.clip(x, alpha, beta)
    if kind == 2:
        return np.where(x < 0, alpha * x, x)
    return x * np.clip(x / 6 + 0.5, 0, 1) if kind == 7 else x


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:

    folder = tmp_path_factory.mktemp("kernels")
    machine = Machine(triple="x86_64-linux-gnu.2.31", cpu="x86_64", library_cpu="x86_64", static=False)
    flags = ("-shared", "-fPIC", *FLAGS)
    compile_c([_SOURCE], folder / "kernels.so", machine, includes=[_KERNELS], flags=flags, progress=SILENT)
    return ctypes.CDLL(os.fspath(folder / "kernels.so"))


def _pointer(array: np.ndarray | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


_given = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_given
@given(
    st.integers(1, 19), st.integers(1, 21), st.integers(0, 23), st.integers(0, 3), st.booleans(), _ACTIVATIONS,
    st.integers(0, 99),
)  # fmt: skip
def test_product(
    kernels: ctypes.CDLL,
    m: int,
    n: int,
    k: int,
    gap: int,
    adds: bool,
    activation: tuple[int, float, float],
    seed: int,
) -> None:
    a, b, bias = _random(seed, m, k + gap), _random(seed + 1, k, n), _random(seed + 2, n)
    add = _random(seed + 3, m, n) if adds else None
    found = np.full((m, n), np.nan, np.float32)
    packed, biases = packed_matrix(b), packed_bias(bias, n)
    kernels.call_matmul(
        _pointer(a), ctypes.c_long(k + gap), _pointer(packed), _pointer(biases), _pointer(add), _pointer(found),
        ctypes.c_long(n), m, n, k, ctypes.byref(_Finish(*activation)),
    )  # fmt: skip
    wanted = a[:, :k].astype(np.float64) @ b + bias + (0 if add is None else add)
    np.testing.assert_allclose(found, _activated(wanted, activation), rtol=1e-5, atol=1e-5)


@_given
@given(_WINDOWS, st.integers(1, 3), st.integers(1, 6), st.integers(1, 10), st.booleans(), _ACTIVATIONS,
       st.integers(0, 99))  # fmt: skip
def test_convolution(
    kernels: ctypes.CDLL,
    window: _Window,
    groups: int,
    depth: int,
    columns: int,
    adds: bool,
    activation: tuple[int, float, float],
    seed: int,
) -> None:
    x = _random(seed, window.height, window.width, groups * depth)
    weights = _random(seed + 1, groups * columns, depth, *window.kernel)
    bias = _random(seed + 2, groups * columns)
    add = _random(seed + 3, *window.out, groups * columns) if adds else None
    found = np.full((*window.out, groups * columns), np.nan, np.float32)
    packed, biases, zeros = packed_kernel(weights, groups), packed_bias(bias, columns, groups), np.zeros(depth, "f4")
    kernels.call_conv(
        _pointer(x), _pointer(packed), _pointer(biases), _pointer(add), _pointer(found), groups, depth, columns,
        window.c(), _pointer(zeros), ctypes.byref(_Finish(*activation)),
    )  # fmt: skip
    wanted = np.tile(bias.astype(np.float64), (*window.out, 1))
    flat = weights.reshape(groups, columns, depth, -1)
    for y, at, tap, from_y, from_x in window.places():
        if window.inside(from_y, from_x):
            here = x[from_y, from_x].reshape(groups, depth)
            wanted[y, at] += np.einsum("gcd,gd->gc", flat[..., tap], here).reshape(-1)
    if add is not None:
        wanted += add
    np.testing.assert_allclose(found, _activated(wanted, activation), rtol=1e-4, atol=1e-4)


@_given
@given(_WINDOWS, st.integers(1, 21), _ACTIVATIONS, st.integers(0, 99))
def test_depthwise_convolution(
    kernels: ctypes.CDLL, window: _Window, channels: int, activation: tuple[int, float, float], seed: int
) -> None:
    x = _random(seed, window.height, window.width, channels)
    weights, bias = _random(seed + 1, channels, 1, *window.kernel), _random(seed + 2, channels)
    found = np.full((*window.out, channels), np.nan, np.float32)
    packed = packed_depthwise(weights)
    kernels.call_depthwise(
        _pointer(x), _pointer(packed), _pointer(bias), _pointer(found), channels, window.c(),
        ctypes.byref(_Finish(*activation)),
    )  # fmt: skip
    wanted = np.tile(bias.astype(np.float64), (*window.out, 1))
    for y, at, tap, from_y, from_x in window.places():
        if window.inside(from_y, from_x):
            wanted[y, at] += packed[tap] * x[from_y, from_x]
    np.testing.assert_allclose(found, _activated(wanted, activation), rtol=1e-4, atol=1e-4)


@_given
@given(_WINDOWS, st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 99))
def test_pooling(
    kernels: ctypes.CDLL, window: _Window, channels: int, mean: bool, counts_padding: bool, seed: int
) -> None:
    x = _random(seed, window.height, window.width, channels)
    found = np.full((*window.out, channels), np.nan, np.float32)
    kernels.call_pool(
        _pointer(x), _pointer(found), channels, window.c(), ctypes.c_bool(mean), ctypes.c_bool(counts_padding),
        window.after[0], window.after[1],
    )  # fmt: skip
    taken: dict[tuple[int, int], list[np.ndarray]] = {}
    padding: dict[tuple[int, int], int] = {}
    for y, at, _, from_y, from_x in window.places():
        if window.inside(from_y, from_x):
            taken.setdefault((y, at), []).append(x[from_y, from_x])
        elif from_y < window.height + window.after[0] and from_x < window.width + window.after[1]:
            padding[y, at] = padding.get((y, at), 0) + 1
    for place, values in taken.items():
        if not mean:
            wanted = np.max(values, axis=0)
        else:
            wanted = np.sum(values, axis=0) / (len(values) + (padding.get(place, 0) if counts_padding else 0))
        np.testing.assert_allclose(found[place], wanted, rtol=1e-5, atol=1e-6)


@_given
@given(st.integers(1, 4), st.integers(1, 37), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_softmax(kernels: ctypes.CDLL, before: int, count: int, after: int, log: bool, seed: int) -> None:
    x = _random(seed, before, count, after) * 20
    found = np.full(x.shape, np.nan, np.float32)
    kernels.call_softmax(_pointer(x), _pointer(found), before, count, after, ctypes.c_bool(log))
    exact = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    wanted = exact / exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.log(wanted) if log else wanted, rtol=2e-5, atol=2e-6)


@_given
@given(st.integers(1, 4), st.integers(2, 37), st.integers(0, 99))
def test_layer_normalization(kernels: ctypes.CDLL, rows: int, count: int, seed: int) -> None:
    x, scale, bias = _random(seed, rows, count) + 3, _random(seed + 1, count), _random(seed + 2, count)
    found = np.full(x.shape, np.nan, np.float32)
    kernels.call_layer_norm(
        _pointer(x), _pointer(scale), _pointer(bias), _pointer(found), rows, count, ctypes.c_float(1e-3)
    )
    exact = x.astype(np.float64)
    wanted = (exact - exact.mean(axis=1, keepdims=True)) / np.sqrt(exact.var(axis=1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(found, wanted * scale + bias, rtol=1e-4, atol=1e-4)
