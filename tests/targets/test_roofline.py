from __future__ import annotations

import pytest

from edgedeploy.targets.load import load_target
from edgedeploy.targets.roofline import least_latency_ms, peak_macs_per_s


def test_of_a_raspberry_pi_4() -> None:
    """4 cores of 1.8 GHz, 4 floats or 8 bytes a cycle; 12.8 GB/s behind 1 MiB of cache."""
    target = load_target("rpi4")
    assert peak_macs_per_s(target, 4) == pytest.approx(28.8e9)
    assert least_latency_ms(target, macs=57_600_000, weight_bytes=0) == pytest.approx(1.0)
    assert least_latency_ms(target, macs=None, weight_bytes=(1 << 20) + 12_800_000) == pytest.approx(1.0)
    assert least_latency_ms(target, macs=57_600_000, weight_bytes=100_000_000) == pytest.approx(7.73, abs=0.01)
    assert least_latency_ms(target, macs=0, weight_bytes=1000) == 0.0


def test_of_many_boards_nothing_is_known() -> None:
    assert least_latency_ms(load_target("generic-aarch64"), macs=10**12, weight_bytes=10**12) is None


@pytest.mark.parametrize(("name", "published_ms"), [("rpi2", 341.0), ("rpi3-32", 115.0), ("rpi4-32", 75.0)])
def test_no_board_is_said_to_do_less_than_was_published_of_it(name: str, published_ms: float) -> None:
    """MobileNetV1-224, 569 million MACs, in float32 on all cores, as XNNPACK publishes: https://github.com/google/XNNPACK
    (README.md of 2020, «Raspberry Pi»). A bound above one of these would be wrong.
    """
    target = load_target(name)
    bound_ms = least_latency_ms(target, macs=569_000_000, weight_bytes=4 * 4_200_000)
    assert bound_ms is not None and bound_ms < published_ms
    # In float alone, the one that is meant, it is not so far away that it would tell nothing.
    assert target.roofline is not None
    float_ms = 1000 * 569_000_000 / peak_macs_per_s(target, target.roofline.float32_macs_per_cycle)
    assert published_ms / 6 < float_ms < published_ms
