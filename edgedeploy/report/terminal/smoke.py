"""A smoke test in the terminal: PASS or FAIL, a line for each thing that was looked at, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.foundation.sanitize import one_line
from edgedeploy.report.content.wording import check_in_words, undetermined_checks
from edgedeploy.values.smoke import CheckState, Smoke, SmokeLine

_STYLES = {CheckState.OK: "green", CheckState.FAILED: "bold red", CheckState.NOT_DETERMINED: "yellow"}


def smoke_screen(smoke: Smoke) -> tuple[RenderableType, ...]:
    """Return all of it, in reading order. What a board or its file says is made printable."""
    return (_head(smoke), "", _table(smoke.lines), *_next(smoke))


def _head(smoke: Smoke) -> Text:
    failed = [each.key for each in smoke.lines if each.state is CheckState.FAILED]
    what = f"{smoke.release.name} {smoke.release.id} on {smoke.device}" if smoke.release else smoke.device
    parts = [f"failed: {', '.join(failed)}"] if failed else []
    if undetermined := undetermined_checks(smoke.lines):
        parts.append(undetermined)
    detail = f" ({'; '.join(parts)})" if parts else ""
    return Text(
        f"{'PASS' if smoke.passed else 'FAIL'}  {one_line(what)}{detail}",
        style="bold green" if smoke.passed else "bold red",
    )


def _table(lines: tuple[SmokeLine, ...]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for each in lines:
        state = Text(check_in_words(each.state), style=_STYLES[each.state])
        table.add_row(Text(each.key), state, Text(one_line(each.figure)))
    return table


def _next(smoke: Smoke) -> Iterator[RenderableType]:
    to_do = [each for each in smoke.lines if each.state is not CheckState.OK and each.hint]
    if to_do:
        yield ""
        yield Text("what to do next", style="bold")
    for each in to_do:
        yield Text(f"  {each.key}: {one_line(each.hint)}")
