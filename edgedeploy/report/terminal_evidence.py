"""Evidence of an optimization as it is shown in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedeploy.cli.output import readable_bytes
from edgedeploy.values.evidence import Evidence, Execution, PassEvidence
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.quality import MetricFigure

if TYPE_CHECKING:
    from rich.console import RenderableType


def evidence_table(evidence: Evidence) -> RenderableType:
    """Before and after, the passes with what they did or why they refused, and the reasons; one renderable."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_before_and_after(evidence), Text(), _passes(evidence.passes), Text()]
    parts += [Text(f"- {reason}") for reason in evidence.reasons]
    verdict = "accepted" if evidence.accepted else "not accepted: nothing was written"
    parts.append(Text(verdict, style="bold green" if evidence.accepted else "bold red"))
    return Group(*parts)


def _before_and_after(evidence: Evidence) -> RenderableType:
    from rich import box
    from rich.table import Table

    before, after = evidence.source, evidence.result
    title = f"recipe {evidence.recipe}" + (f" for {evidence.target}" if evidence.target else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for header in ("before", "after", "change"):
        table.add_column(header, justify="right")

    def row(label: str, old: float | None, new: float | None, text: str) -> None:
        table.add_row(label, text.format(old) if old is not None else "—", *_after(old, new, text))

    row("size (bytes)", before.size_bytes, after and after.size_bytes, "{:,}")
    row("parameters", before.parameters, after and after.parameters, "{:,}")
    row("MACs", before.macs, after and after.macs, "{:,}")
    row("nodes", _nodes(before), after and _nodes(after), "{:,}")
    for execution in evidence.executions:
        _quality_rows(table.add_row, evidence.source_metric, execution)
    return table


def _after(old: float | None, new: float | None, text: str) -> tuple[str, str]:
    if new is None:
        return "—", ""
    change = f"{(new - old) / old:+.1%}" if old else ""
    return text.format(new), change


def _nodes(facts: ModelFacts) -> int:
    return sum(facts.operators.values())


def _quality_rows(add_row: object, source: MetricFigure | None, execution: Execution) -> None:
    assert callable(add_row)
    where = "exact arithmetic" if execution.arithmetic == "exact" else f"host kernels, {execution.isa}"
    metric, agreement = execution.metric, execution.agreement
    if metric is not None and source is not None:
        change = f"{metric.value - source.value:+.4f}"
        add_row(f"{metric.name} ({where})", f"{source.value:.4f}", f"{metric.value:.4f}", change)
    if agreement.top1_match is not None:
        add_row(f"same top-1 answer ({where})", "", f"{agreement.top1_match:.4f}", "")
    sqnr = "no error" if agreement.sqnr_db is None else f"{agreement.sqnr_db:.1f} dB"
    add_row(f"SQNR ({where})", "", sqnr, "")
    add_row(f"cosine ({where})", "", f"{agreement.cosine:.6f}", "")
    add_row(f"samples ({where})", "", f"{agreement.samples:,}", "")


def _passes(passes: tuple[PassEvidence, ...]) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("pass")
    table.add_column("outcome")
    table.add_column("size after", justify="right")
    table.add_column("what it did, or why not", overflow="fold")
    for step in passes:
        outcome = "refused" if step.refused is not None else "changed" if step.changed else "no change"
        style = {"refused": "yellow", "changed": "", "no change": "dim"}[outcome]
        did = step.refused or ", ".join(f"{key} {value}" for key, value in step.facts.items() if value not in (0, ""))
        table.add_row(step.name, outcome, readable_bytes(step.size_bytes), did, style=style)
    return table
