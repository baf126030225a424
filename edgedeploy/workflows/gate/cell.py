"""One contract on one board: shipped, held against its contract and against the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, structs

from edgedeploy.device.emulator.board import BoardStatus
from edgedeploy.foundation.progress import Progress
from edgedeploy.report.content.answer import answer_of
from edgedeploy.targets.backends import usable_backends
from edgedeploy.targets.load import load_target
from edgedeploy.values.baseline import Baseline
from edgedeploy.values.contract import Contract, Outcome, Verdict
from edgedeploy.values.gate import GateCell, GateState
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.shipment import Shipment
from edgedeploy.verdict.baseline import SCHEMA, baseline_of, check_baseline, entry_key, other_conditions
from edgedeploy.workflows.gate.request import GateSettings
from edgedeploy.workflows.ship.ship import ship

_STATES: dict[Outcome, GateState] = {
    Outcome.HOLDS: "holds",
    Outcome.BREAKS: "breaks",
    Outcome.NOT_DETERMINED: "not determined",
}


class CellResult(Struct, frozen=True, kw_only=True):
    """What a cell found out, and all that its report shows."""

    cell: GateCell
    shipment: Shipment
    measured: Baseline
    """The entry that the baseline is to get; none where nothing was measured."""


def run_cell(
    cell: GateCell,
    contract: Contract,
    board: BoardStatus,
    baseline: Baseline | None,
    settings: GateSettings,
    progress: Progress,
) -> CellResult:
    """Ship the contract's model to the board, and hold its figures against the baseline.

    Raises:
        EdgedeployError: as `ship` says.
    """
    shipment = ship(
        contract,
        board.address,
        target=cell.target,
        backend=settings.backend,
        strict=settings.strict,
        allow_code=settings.allow_code,
        progress=progress,
    )
    measured = _measured(shipment.measurement)
    held = _held(baseline, measured, settings)
    answer = answer_of(shipment)
    measurement = shipment.measurement
    cell = structs.replace(
        cell,
        state=_state(answer, held),
        verdict=answer,
        baseline=held,
        backend=shipment.bundle.backend if shipment.bundle else "",
        warnings=tuple(_warnings(shipment, settings, baseline, measured)),
    )
    if measurement is not None:
        accuracy = measurement.accuracy
        cell = structs.replace(
            cell,
            emulator=measurement.conditions.emulator,
            instructions=measurement.count.per_inference if measurement.count else None,
            model_size_bytes=measurement.release.model_size_bytes,
            metric=accuracy.metric if accuracy else None,
        )
    return CellResult(cell=cell, shipment=shipment, measured=measured)


def has_entry(baseline: Baseline, measured: Baseline) -> bool:
    """Return whether the baseline has figures of the same model, target and kind of board."""
    return set(map(entry_key, measured.entries)) <= set(map(entry_key, baseline.entries))


def _measured(measurement: Measurement | None) -> Baseline:
    """Return what the baseline keeps of a measurement: work, size and accuracy.

    Memory is left to the contract (`peak_memory_max_bytes`): a baseline needs three runs of it, and this is one.
    """
    if measurement is None or measurement.count is None:
        return Baseline(schema=SCHEMA)
    return baseline_of([structs.replace(measurement, peak_rss_bytes=None)])


def _held(baseline: Baseline | None, measured: Baseline, settings: GateSettings) -> Verdict | None:
    if baseline is None or not measured.entries or (settings.save and not has_entry(baseline, measured)):
        return None
    return check_baseline(baseline, measured, settings.thresholds)


def _state(answer: Verdict, held: Verdict | None) -> GateState:
    outcomes = [answer.outcome] if held is None else [answer.outcome, held.outcome]
    order = (Outcome.BREAKS, Outcome.NOT_DETERMINED, Outcome.HOLDS)
    return _STATES[next(outcome for outcome in order if outcome in outcomes)]


def _warnings(
    shipment: Shipment, settings: GateSettings, baseline: Baseline | None, measured: Baseline
) -> Iterator[str]:
    bundle = shipment.bundle
    if settings.backend == "auto" and bundle is not None:
        source = shipment.evidence.source
        names = [facts.name for facts in usable_backends(load_target(bundle.target), source.format)]
        passed = names[: names.index(bundle.backend)] if bundle.backend in names else []
        if passed:
            yield f"auto took {bundle.backend}, because it could not take {' or '.join(passed)}: {bundle.chosen}."
    known = {entry_key(entry): entry for entry in baseline.entries} if baseline else {}
    for entry in measured.entries:
        old = known.get(entry_key(entry))
        for words in other_conditions(old, entry) if old is not None else ():
            yield f"{words[0].upper()}{words[1:]}."
