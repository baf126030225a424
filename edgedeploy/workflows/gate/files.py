"""The files of a gate: reports for people, and for whatever shows them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from edgedeploy.foundation.files import unwritable, write_bytes
from edgedeploy.measure.files import save_measurement
from edgedeploy.report.exports.gate_junit import gate_junit
from edgedeploy.report.exports.gate_markdown import gate_markdown
from edgedeploy.report.exports.gate_metrics import gate_metrics
from edgedeploy.report.exports.html import write_report
from edgedeploy.report.exports.markdown import shipment_markdown
from edgedeploy.values.gate import Gate, GateCell
from edgedeploy.values.shipment import Shipment

JSON, JUNIT, MARKDOWN, METRICS = "gate.json", "junit.xml", "summary.md", "metrics.txt"
_OF_CELL = ("report", "contract.md", "measurement.json")


def make_room(out: Path, cells: Iterable[GateCell]) -> None:
    """Remove what an earlier run wrote: it is not to be taken for this one's.

    Raises:
        HostError: `out` cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (JSON, JUNIT, MARKDOWN, METRICS):
            (out / name).unlink(missing_ok=True)
        for cell in cells:
            for name in _OF_CELL if cell.folder else ():
                path = out / str(cell.folder) / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error


def write_cell(out: Path, cell: GateCell, shipment: Shipment) -> None:
    """Write a cell's report, and its measurement where there is one, into its folder.

    Raises:
        HostError: they cannot be written.
    """
    folder = out / str(cell.folder)
    write_report(folder / "report", shipment)
    write_bytes(folder / "contract.md", shipment_markdown(shipment).encode())
    if shipment.measurement is not None:
        save_measurement(shipment.measurement, folder / "measurement.json")


def write_gate(out: Path, gate: Gate, shipments: Mapping[tuple[str, str], Shipment]) -> None:
    """Write `gate.json`, `junit.xml`, `summary.md` and `metrics.txt`.

    Args:
        shipments: by contract and target, of the cells that came so far.

    Raises:
        HostError: they cannot be written.
    """
    write_bytes(out / JSON, msgspec.json.format(msgspec.json.encode(gate), indent=1) + b"\n")
    write_bytes(out / JUNIT, gate_junit(gate))
    write_bytes(out / MARKDOWN, gate_markdown(gate, shipments).encode())
    write_bytes(out / METRICS, gate_metrics(gate).encode())
