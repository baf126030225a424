"""The answer that a shipment gives: the contract's verdict, or that the optimized model was refused."""

from __future__ import annotations

from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.shipment import Shipment


def answer_of(shipment: Shipment) -> Verdict:
    """Return the verdict; where nothing was sent, one with a line that breaks and says why."""
    if shipment.verdict is not None:
        return shipment.verdict
    contract = shipment.contract
    refused = VerdictLine(
        key="optimization.recipe",
        limit=contract.recipe,
        figure="refused",
        unit="",
        outcome=Outcome.BREAKS,
        reason="; ".join(shipment.evidence.reasons),
    )
    return Verdict(contract=f"{contract.name} {contract.version}", lines=(refused,), outcome=Outcome.BREAKS)
