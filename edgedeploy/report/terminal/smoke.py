"""A smoke test in the terminal: PASS or FAIL, a line for each thing that was looked at, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.values.smoke import CheckState, Smoke, SmokeLine

# A word and a sign, so that nothing hangs on colour.
_MARKS = {
    CheckState.OK: ("✓", "green"),
    CheckState.FAILED: ("✗", "bold red"),
    CheckState.NOT_DETERMINED: ("?", "yellow"),
}


def smoke_screen(smoke: Smoke) -> tuple[RenderableType, ...]:
    """All of it, in reading order. Words of a board, or of a file from one, cannot command the terminal."""
    return (_head(smoke), "", _table(smoke.lines), *_next(smoke))


def _head(smoke: Smoke) -> Text:
    failed = [each.key for each in smoke.lines if each.state is CheckState.FAILED]
    untold = sum(each.state is CheckState.NOT_DETERMINED for each in smoke.lines)
    what = f"{smoke.release.name} {smoke.release.id} on {smoke.device}" if smoke.release else smoke.device
    parts = [f"failed: {', '.join(failed)}"] if failed else []
    if untold:
        parts.append(f"{untold} of {len(smoke.lines)} cannot be told")
    detail = f" ({'; '.join(parts)})" if parts else ""
    return Text(
        f"{'PASS' if smoke.passed else 'FAIL'}  {_shown(what)}{detail}",
        style="bold green" if smoke.passed else "bold red",
    )


def _table(lines: tuple[SmokeLine, ...]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for each in lines:
        mark, style = _MARKS[each.state]
        table.add_row(Text(each.key), Text(f"{mark} {each.state.value}", style=style), Text(_shown(each.figure)))
    return table


def _next(smoke: Smoke) -> Iterator[RenderableType]:
    to_do = [each for each in smoke.lines if each.state is not CheckState.OK and each.hint]
    if to_do:
        yield ""
        yield Text("what to do next", style="bold")
    for each in to_do:
        yield Text(f"  {each.key}: {_shown(each.hint)}")


def _shown(words: str) -> str:
    return "".join(each if each.isprintable() else "�" for each in words)
