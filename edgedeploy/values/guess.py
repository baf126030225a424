"""What was guessed, and why."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.values.contract import Contract


class Guess(Struct, frozen=True, kw_only=True):
    """One thing that a contract says."""

    key: str
    """`format`, `task`, `head`, `preprocessing`, `metric`, `calibration`."""
    value: str
    reason: str


class InitiatedContract(Struct, frozen=True, kw_only=True):
    """A contract, and what it is made of."""

    path: str
    contract: Contract
    guesses: tuple[Guess, ...]
