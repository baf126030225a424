"""A verdict as a table in the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.wording import limit_and_figure, limit_name, relation
from edgedeploy.values.contract import Outcome, Verdict

# A word and a sign, so that nothing hangs on colour.
MARKS = {
    Outcome.HOLDS: ("✓", "green"),
    Outcome.BREAKS: ("✗", "bold red"),
    Outcome.NOT_DETERMINED: ("?", "yellow"),
}


def verdict_table(verdict: Verdict) -> Table:
    """A line for each limit: limit, figure, outcome, and where the figure comes from."""
    mark, style = MARKS[verdict.outcome]
    table = Table(
        box=None,
        pad_edge=False,
        title=Text(f"{mark} {verdict.kind} {verdict.contract}: {verdict.outcome.value}{_untold(verdict)}", style=style),
        caption=Text(f"contract's owner: {verdict.owner}") if verdict.owner else None,
        caption_justify="left",
        title_justify="left",
    )
    table.add_column("limit")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("figure", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("why", style="dim")
    for line in verdict.lines:
        mark, style = MARKS[line.outcome]
        limit, figure = limit_and_figure(line)
        table.add_row(
            Text(limit_name(line)),
            Text(f"{relation(line)} {limit}"),
            Text(figure),
            Text(f"{mark} {line.outcome.value}", style=style),
            Text(line.reason),
        )
    return table


def _untold(verdict: Verdict) -> str:
    """A contract that holds, holds as far as it can be told: how far that is stands beside it."""
    untold = sum(line.outcome is Outcome.NOT_DETERMINED for line in verdict.lines)
    return f" ({untold} of {len(verdict.lines)} lines cannot be told)" if untold else ""
