"""Text by CTC: scores (batch, steps, symbols), decoded greedily.

The best symbol of each step; repeated ones are one, then blanks go (Graves et al. 2006,
https://doi.org/10.1145/1143844.1143891, section 3.2). Options: `alphabet` (the symbols in the model's order, needed;
with the blank or without it), `blank` (its place; default 0, -1 is the last), `time_first =
true` for (steps, batch, symbols).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.head import Head


class CtcDecoder(Decoder):
    reads = "one output of scores (batch, steps, symbols), a symbol for each of the alphabet, and the blank"

    def __init__(self, head: Head, names: Sequence[str]) -> None:
        super().__init__(head, names)
        self._alphabet = str(head.options.get("alphabet", ""))
        if not self._alphabet:
            raise UnsupportedError(
                "the head ctc needs its alphabet",
                hint='state [head] options = { alphabet = "_abc…", blank = 0 }, the symbols in the model\'s order',
            )

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[str]:
        raw = outputs[0]
        if raw.ndim != 3:
            raise self.mismatch(outputs)
        if self.option("time_first", default=False):
            raw = raw.transpose(1, 0, 2)
        symbols = raw.shape[2]
        blank = int(self.option("blank", 0)) % symbols
        letters = list(self._alphabet)
        if len(letters) == symbols - 1:
            letters.insert(blank, "")
        if len(letters) != symbols:
            raise self.mismatch(outputs)
        letters[blank] = ""
        texts = []
        for best in np.nan_to_num(raw, nan=-np.inf).argmax(axis=2):
            starts = np.flatnonzero(np.append(True, best[1:] != best[:-1]))
            texts.append("".join(letters[symbol] for symbol in best[starts]))
        return texts

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {"classes": (0, (slice(None),))}


HEAD = HeadKind(name="ctc", reads=CtcDecoder.reads, task="speech", make=CtcDecoder)
