"""Evidence of an optimization as it is shown in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.foundation.sanitize import printable
from edgedeploy.report.content.layers import costliest_in_words, noisiest_in_words
from edgedeploy.report.content.regressions import optimized_breakage
from edgedeploy.report.content.wording import kept_in_words, pass_outcome, reach_in_words, sqnr_in_words, where_in_words
from edgedeploy.report.terminal.regressions import breakage_parts
from edgedeploy.values.evidence import Evidence, Execution, PassEvidence
from edgedeploy.values.search import Search
from edgedeploy.values.speed import SpeedFigure


def evidence_table(evidence: Evidence) -> RenderableType:
    """Size and quality before and after, the passes with what they did or why they refused, and the reasons."""
    parts: list[RenderableType] = [_size(evidence)]
    if evidence.executions:
        parts.append(_quality(evidence))
    if (broken := optimized_breakage(evidence)) is not None:
        parts += breakage_parts(broken)
    if noisy := noisiest_in_words(evidence.layers):
        parts.append(Text(f"{noisy}\n"))
    if evidence.speed is not None:
        parts.append(Text(_speed(evidence.speed)))
    elif evidence.speed_unjudged:
        parts.append(Text(f"speed: not judged, {evidence.speed_unjudged}\n"))
    if evidence.search is not None:
        parts.append(_search(evidence.search))
    parts.append(_passes(evidence.passes))
    parts += [Text(f"- {reason}") for reason in evidence.reasons]
    if evidence.accepted:
        parts.append(Text("accepted", style="bold green"))
    else:
        parts.append(Text("not accepted: nothing was written", style="bold red"))
    return Group(*parts)


def _size(evidence: Evidence) -> RenderableType:
    title = f"recipe {evidence.recipe}" + (f" for {evidence.target}" if evidence.target else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for header in ("before", "after", "change"):
        table.add_column(header, justify="right")
    before, after = evidence.source, evidence.result

    def row(label: str, old: int | None, new: int | None) -> None:
        change = f"{(new - old) / old:+.1%}" if old and new is not None else ""
        table.add_row(label, *("—" if count is None else f"{count:,}" for count in (old, new)), change)

    row("size (bytes)", before.size_bytes, after.size_bytes if after else None)
    row("parameters", before.parameters, after.parameters if after else None)
    row("MACs", before.macs, after.macs if after else None)
    row("nodes", sum(before.operators.values()), sum(after.operators.values()) if after else None)
    return table


def _quality(evidence: Evidence) -> RenderableType:
    executions, source = evidence.executions, evidence.source_metric
    samples = executions[0].agreement.samples
    table = Table(title=f"on {samples:,} samples", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("float", justify="right")
    for execution in executions:
        table.add_column(where_in_words(execution), justify="right")
    if source is not None:
        table.add_row(
            source.name + ("" if source.larger_is_better else " (smaller is better)"),
            f"{source.value:.4f}",
            *(_metric(execution) for execution in executions),
        )
        table.add_row("change", "", *(_change(source.value, execution) for execution in executions))
        if any(execution.change is not None for execution in executions):
            table.add_row("  with 95 % confidence", "", *(_interval(execution) for execution in executions))
    agreements = [execution.agreement for execution in executions]
    if len({agreement.samples for agreement in agreements}) > 1:
        table.add_row("samples", "", *(f"{agreement.samples:,}" for agreement in agreements))
    if all(agreement.top1_match is not None for agreement in agreements):
        table.add_row("same top-1 answer", "", *(f"{agreement.top1_match:.4f}" for agreement in agreements))
    if all(agreement.text_match is not None for agreement in agreements):
        table.add_row("same text", "", *(f"{agreement.text_match:.4f}" for agreement in agreements))
    if any(agreement.other_shapes for agreement in agreements):
        table.add_row("answers of another shape", "", *(f"{agreement.other_shapes:,}" for agreement in agreements))
    for what in dict.fromkeys(execution.kept.what for execution in executions if execution.kept):
        kept = [execution.kept for execution in executions]
        table.add_row(f"{what} kept", "", *(kept_in_words(each) if each else "" for each in kept))
    if any(execution.rank_correlation is not None for execution in executions):
        ranks = [execution.rank_correlation for execution in executions]
        table.add_row("rank correlation", "", *("" if each is None else f"{each:.4f}" for each in ranks))
    table.add_row("SQNR", "", *(sqnr_in_words(agreement) for agreement in agreements))
    for name in (*executions[0].by_output, *executions[0].by_group):
        figures = [(execution.by_output | execution.by_group).get(name) for execution in executions]
        table.add_row(Text(f"  of {printable(name)}"), "", *(sqnr_in_words(each) if each else "" for each in figures))
    table.add_row("cosine", "", *(f"{agreement.cosine:.6f}" for agreement in agreements))
    table.add_row("largest error", "", *(f"{agreement.max_abs_error:.3g}" for agreement in agreements))
    return table


def _speed(speed: SpeedFigure) -> str:
    """`"speed: 0.71 of the float model's host time (0.69 to 0.73; judged by this machine: …)"`."""
    return (
        f"speed: {speed.ratio:.2f} of the float model's {speed.currency} ({speed.low:.2f} to {speed.high:.2f}; "
        f"judged by {speed.where})\n"
    )


def _search(search: Search) -> RenderableType:
    minutes, seconds = divmod(round(search.seconds), 60)
    ended = "" if search.ended == "all tried" else ", until its time was up"
    table = Table(
        title=f"{len(search.trials)} trials in {minutes} min {seconds:02d} s{ended}; objective {search.objective}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("trial")
    for header in ("bytes", "lost", "SQNR", "speed"):
        table.add_column(header, justify="right")
    table.add_column("")
    for trial in search.trials:
        marks = [
            "chosen" if trial.name == search.chosen else "",
            "on the front" if trial.name in search.front else "",
            "over the budget" if trial.over_budget else "",
            trial.refused or "",
            search.rejected.get(trial.name, ""),
        ]
        table.add_row(
            trial.name,
            "—" if trial.size_bytes is None else f"{trial.size_bytes:,}",
            "—" if trial.size_bytes is None else f"{trial.loss:.4f}",
            "—" if trial.sqnr_db is None else f"{trial.sqnr_db:.1f} dB",
            "—" if trial.speed is None else f"{trial.speed.ratio:.2f}",
            ", ".join(mark for mark in marks if mark),
            style="bold" if trial.name == search.chosen else "dim" if trial.over_budget or trial.refused else "",
        )
    if costly := costliest_in_words(search.layers):
        table.caption = Text(costly)
        table.caption_justify = "left"
    return table


def _metric(execution: Execution) -> str:
    return "—" if execution.metric is None else f"{execution.metric.value:.4f}"


def _change(before: float, execution: Execution) -> str:
    if execution.change is not None:
        # Paired: of a board that ran a part of the samples, against the float model on that part.
        return f"{execution.change.value:+.4f}"
    return "—" if execution.metric is None else f"{execution.metric.value - before:+.4f}"


def _interval(execution: Execution) -> str:
    change = execution.change
    return "—" if change is None else f"{change.low:+.4f} … {change.high:+.4f}"


def _passes(passes: tuple[PassEvidence, ...]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("pass", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("bytes after", justify="right", no_wrap=True)
    table.add_column("what it did, or why not", overflow="fold")
    for step in passes:
        outcome = pass_outcome(step)
        style = {"refused": "yellow", "changed": "", "no change": "dim"}[outcome]
        did = ", ".join(f"{key} {value}" for key, value in step.facts.items() if value not in (0, ""))
        reach = reach_in_words(step)
        words = step.refused or "; ".join(part for part in (reach, did) if part)
        table.add_row(step.name, outcome, f"{step.size_bytes:,}", words, style=style)
    return table
