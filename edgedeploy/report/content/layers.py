"""Where noise comes into a quantized network, in words, rows and a picture."""

from __future__ import annotations

from collections.abc import Sequence

from edgedeploy.plots.timeline import trend
from edgedeploy.values.evidence import LayerNoise

_SHOWN = 5
_EXACT_DB = 120.0
"""Float32 holds no finer difference (24 bits of mantissa are 144 dB, and sums lose some of them)."""
_NONE_LEFT_DB = -20.0


def noisiest(layers: Sequence[LayerNoise]) -> tuple[LayerNoise, ...]:
    """The five at most that add most noise, the worst first."""
    adding = [one for one in layers if one.added > 0]
    return tuple(sorted(adding, key=lambda one: -one.added)[:_SHOWN])


def noise_in_words(one: LayerNoise) -> str:
    """SQNR of what comes to a layer and of its output: `"33.6 → 18.2 dB"`, `"exact → 41.0 dB"`."""
    before = "exact" if one.before_db is None else f"{one.before_db:.1f}"
    after = "exact" if one.sqnr_db is None else f"{one.sqnr_db:.1f} dB"
    return f"{before} → {after}".replace("-", "−")


def noise_plot(layers: Sequence[LayerNoise]) -> str:
    """SQNR of each layer's output, in the order in which they are computed; empty of fewer than two layers."""
    if len(layers) < 2:
        return ""
    points = [
        (float(place), _EXACT_DB if one.sqnr_db is None else min(_EXACT_DB, max(_NONE_LEFT_DB, one.sqnr_db)))
        for place, one in enumerate(layers, start=1)
    ]
    return trend(points, len(layers), "Signal to noise by layer", "dB")
