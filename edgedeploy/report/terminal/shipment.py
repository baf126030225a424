"""A shipment in the terminal: before and after, what the device showed, the verdict."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.comparison import comparison
from edgedeploy.report.content.regressions import optimized_breakage
from edgedeploy.report.content.wording import sent_in_words
from edgedeploy.report.terminal.measurement import measurement_tables
from edgedeploy.report.terminal.regressions import breakage_parts
from edgedeploy.report.terminal.verdict import verdict_table
from edgedeploy.values.shipment import Shipment


def shipment_tables(shipment: Shipment) -> tuple[RenderableType, ...]:
    """Tables and lines, in reading order; the answer is last, where the eye is when the command ends."""
    parts: list[RenderableType] = [_before_and_after(shipment)]
    if not shipment.evidence.accepted:
        parts += [Text(f"✗ refused: {reason}", style="bold red") for reason in shipment.evidence.reasons]
    elif shipment.evidence.reasons:
        parts += [Text(f"note: {reason}", style="dim") for reason in shipment.evidence.reasons]
    if (broken := optimized_breakage(shipment.evidence)) is not None:
        parts += breakage_parts(broken)
    if shipment.release:
        parts.append(f"sent {sent_in_words(shipment.release)}")
    if shipment.measurement:
        parts += ["", *measurement_tables(shipment.measurement)]
    if shipment.verdict:
        parts += ["", verdict_table(shipment.verdict)]
    parts += [Text(remark) for remark in shipment.remarks]
    return tuple(parts)


def _before_and_after(shipment: Shipment) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{shipment.contract.name} {shipment.contract.version}")
    table.add_column("before", justify="right")
    table.add_column(f"after ({shipment.contract.recipe})", justify="right")
    table.add_column("change", justify="right")
    for row in comparison(shipment):
        table.add_row(row.what, row.before, row.after, row.change)
    return table
