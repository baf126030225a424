"""A pass that stores in fewer bits the weights that a quantizer left in float."""

from __future__ import annotations

from typing import ClassVar

from edgedeploy.optimize.quantize.quantize_weights import QuantizeWeights


class QuantizeRemainingWeights(QuantizeWeights, frozen=True):
    """Store the weights that earlier passes left in float in fewer bits, as quantize-weights does; compute in float.

    It stands behind a quantizer, for layers that have no integer kernel (LSTM, ConvTranspose, weights in branches) or
    were kept in float for the sake of their activations. That nothing is left is no failure.
    """

    essential: ClassVar[bool] = False
