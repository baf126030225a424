"""The least time that a model can take on a board: what is measured below it was measured wrong.

A bound and no estimate: real kernels reach a fraction of these rates. It holds for kernels that multiply each weight as
often as the model says, as those of all backends here do (Winograd's convolution would not). After Williams, Waterman
and Patterson, «Roofline», 2009, https://doi.org/10.1145/1498765.1498785.
"""

from __future__ import annotations

from edgedeploy.values.target import Target


def peak_macs_per_s(target: Target, macs_per_cycle: float) -> float:
    """Of all cores together, at the highest clock that the board has as it is sold."""
    return macs_per_cycle * target.cpu.clock_mhz * 1e6 * target.cpu.cores


def least_latency_ms(target: Target, *, macs: int | None, weight_bytes: int) -> float | None:
    """What one inference takes at the very least.

    Args:
        macs: multiplications with addition of one inference; None when they are not known.
        weight_bytes: what has to come from the memory each time, as far as the caches cannot hold it.

    Returns:
        None where nothing is known of the target's speed.
    """
    roof = target.roofline
    if roof is None:
        return None
    # Whatever the model computes in: the faster one.
    rate = peak_macs_per_s(target, max(roof.float32_macs_per_cycle, roof.int8_macs_per_cycle))
    compute_s = (macs or 0) / rate
    memory_s = max(0, weight_bytes - (target.cpu.cache_bytes or 0)) / roof.memory_bytes_per_s
    return 1000 * max(compute_s, memory_s)
