"""Which inputs a model of sound has: the recording, and in some its length and its rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.quantized import as_input, is_quantized
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import AudioPreprocessing

_FLOATS = ("float32", "float16", "float64")
_INT16_SCALE = 32768


class SoundInputs(Struct, frozen=True):
    """The inputs, by what they take."""

    sound: TensorFacts
    lengths: tuple[TensorFacts, ...]
    """Of whole numbers, shape (batch,): how many samples or frames there are."""
    rates: tuple[TensorFacts, ...]
    """Of whole numbers, shape (): the rate in Hz."""

    def arrays(self, values: np.ndarray, preprocessing: AudioPreprocessing, where: str) -> dict[str, np.ndarray]:
        """Return what each input takes of one recording, without its batch axis.

        Args:
            values: as `prepare_sound` returns them.
        """
        time_axis = 0 if values.ndim == 1 or preprocessing.layout == "time-first" else 1
        found = {self.sound.name: _placed(_typed(values, self.sound), self.sound)}
        found |= {facts.name: np.array(values.shape[time_axis], facts.dtype) for facts in self.lengths}
        return found | {facts.name: np.array(preprocessing.rate_hz, facts.dtype) for facts in self.rates}


def sound_inputs(spec: str, inputs: Sequence[TensorFacts]) -> SoundInputs:
    """Tell the inputs of a model of sound apart.

    Raises:
        DatasetError: there is not one of floats (or int16, or quantized) for the recording, or one that is not known.
    """
    whole = [facts for facts in inputs if facts.dtype in ("int32", "int64")]
    lengths = tuple(facts for facts in whole if len(facts.shape) == 1)
    rates = tuple(facts for facts in whole if not facts.shape)
    others = [facts for facts in inputs if facts not in (*lengths, *rates)]
    if len(others) != 1 or not (others[0].dtype in (*_FLOATS, "int16") or is_quantized(others[0])):
        listed = ", ".join(f"{facts.name!r} {facts.dtype}" for facts in inputs)
        raise DatasetError(
            f"{spec}: the model's inputs are not those of a model of sound",
            why=f"expected one of floats, its length and its rate; found: {listed}",
            hint="for a model with a state, give whole feeds: a folder of .npz, or package.module:function",
        )
    return SoundInputs(others[0], lengths, rates)


def _typed(values: np.ndarray, facts: TensorFacts) -> np.ndarray:
    if facts.dtype != "int16" or is_quantized(facts):
        return as_input(values, facts)
    scaled: np.ndarray = np.clip(np.rint(values * _INT16_SCALE), -_INT16_SCALE, _INT16_SCALE - 1)
    return scaled.astype(np.int16)


def _placed(values: np.ndarray, facts: TensorFacts) -> np.ndarray:
    """Add axes of length 1, where the input has them, so that only the batch axis is missing."""
    wanted = facts.shape[1:]
    while values.ndim < len(wanted):
        extra = len(wanted) - values.ndim
        # In front, as (batch, 1, bands, frames) has it, unless the input has its axis of 1 at the end.
        at_end = wanted[-1] == 1 and not all(extent == 1 for extent in wanted[:extra])
        values = values[..., np.newaxis] if at_end else values[np.newaxis]
    return values
