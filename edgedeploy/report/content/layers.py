"""Where noise comes into a quantized network, and which layers cost most, in words, rows and a picture."""

from __future__ import annotations

from collections.abc import Sequence

from edgedeploy.plots.timeline import trend
from edgedeploy.values.evidence import LayerNoise
from edgedeploy.values.search import LayerDamage

_SHOWN = 5
_EXACT_DB = 120.0
"""Float32 holds no finer difference (24 bits of mantissa are 144 dB, and sums lose some of them)."""
_NONE_LEFT_DB = -20.0


def noisiest(layers: Sequence[LayerNoise]) -> tuple[LayerNoise, ...]:
    """Return the layers that add most noise, the worst first; five at most."""
    adding = [layer for layer in layers if layer.added > 0]
    return tuple(sorted(adding, key=lambda layer: -layer.added)[:_SHOWN])


def noisiest_in_words(layers: Sequence[LayerNoise]) -> str:
    """Return a sentence that names the noisiest layers with their SQNR; empty where no layer adds noise."""
    named = [f"{layer.layer} ({layer.operator}, {noise_in_words(layer)})" for layer in noisiest(layers)]
    return f"Layers that add most noise (SQNR before and after each): {', '.join(named)}." if named else ""


def noise_in_words(layer: LayerNoise) -> str:
    """SQNR of a layer's inputs and of its output: `"33.6 → 18.2 dB"`, `"exact → 41.0 dB"`."""
    before = "exact" if layer.before_db is None else f"{layer.before_db:.1f}"
    after = "exact" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f} dB"
    return f"{before} → {after}".replace("-", "−")


def costliest_in_words(layers: Sequence[LayerDamage]) -> str:
    """Return a sentence on the first five of a search's layers, which come with the costliest first; empty of none."""
    named = [
        f"{layer.layer} ({layer.operator}, {'no change' if layer.sqnr_db is None else f'{layer.sqnr_db:.0f} dB'})"
        for layer in layers[:_SHOWN]
    ]
    return f"Layers that cost most when quantized alone: {', '.join(named)}." if named else ""


def noise_plot(layers: Sequence[LayerNoise]) -> str:
    """Draw the SQNR of each layer's output, in the order of computation; empty of fewer than two layers."""
    if len(layers) < 2:
        return ""
    points = [
        (float(place), _EXACT_DB if layer.sqnr_db is None else min(_EXACT_DB, max(_NONE_LEFT_DB, layer.sqnr_db)))
        for place, layer in enumerate(layers, start=1)
    ]
    return trend(points, len(layers), "Signal to noise by layer", "dB")
