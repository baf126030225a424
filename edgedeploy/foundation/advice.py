"""Commands that the hints of several errors give."""

from __future__ import annotations

MAKE_SMALLER = "make the model smaller: edgedeploy optimize MODEL --recipe weights-int8 -o SMALLER"
"""The recipe needs no data, and so works for every model."""
END_PROGRAMS = "end other programs there"
END_OR_MAKE_SMALLER = f"{END_PROGRAMS}, or {MAKE_SMALLER}"
SWAP_OR_MAKE_SMALLER = f"{END_PROGRAMS}, add swap, or {MAKE_SMALLER}"
