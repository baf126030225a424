"""A verdict as a table in the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.wording import (
    OUTCOME_SIGNS,
    OUTCOME_WORDS,
    limit_and_figure,
    limit_name,
    outcome_in_words,
    relation,
    undetermined_lines,
)
from edgedeploy.values.contract import Outcome, Verdict

OUTCOME_STYLES = {Outcome.HOLDS: "green", Outcome.BREAKS: "bold red", Outcome.NOT_DETERMINED: "yellow"}


def verdict_table(verdict: Verdict) -> Table:
    """A line for each limit: limit, figure, outcome, and where the figure comes from."""
    undetermined = undetermined_lines(verdict)
    answer = f"{OUTCOME_SIGNS[verdict.outcome]} {verdict.kind} {verdict.contract}: {OUTCOME_WORDS[verdict.outcome]}"
    table = Table(
        box=None,
        pad_edge=False,
        title=Text(answer + (f" ({undetermined})" if undetermined else ""), style=OUTCOME_STYLES[verdict.outcome]),
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
        limit, figure = limit_and_figure(line)
        table.add_row(
            Text(limit_name(line)),
            Text(f"{relation(line)} {limit}"),
            Text(figure),
            Text(outcome_in_words(line.outcome), style=OUTCOME_STYLES[line.outcome]),
            Text(line.reason),
        )
    return table
