"""No name and no command is broken in two, in any report, however narrow the terminal is."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from support import sample_shipment as sample

from edgedeploy.cli.console import PrintableConsole
from edgedeploy.cli.whole_words import fit
from edgedeploy.report.terminal.evidence import evidence_table
from edgedeploy.report.terminal.measurement import measurement_tables
from edgedeploy.report.terminal.profile import profile_tables
from edgedeploy.report.terminal.shipment import shipment_tables
from edgedeploy.report.terminal.smoke import smoke_screen
from edgedeploy.report.terminal.verdict import verdict_table
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.smoke import CheckState, Smoke, SmokeLine

LONG = "/home/somebody/releases/with/a/long/path/text-direction/2.0-0123456789ab/model.optimized.onnx"
COMMAND = f"edgedeploy push {LONG} ssh://pi@camera-17.example.com:2222 --retries 5 --bandwidth 500K"
WIDTHS = (40, 80, 140, 200)


def printed(width: int, *renderables: RenderableType) -> str:
    out = io.StringIO()
    console = PrintableConsole(file=out, width=width, highlight=False, markup=False, emoji=False)
    for renderable in renderables:
        console.print_whole(renderable)
    return out.getvalue()


def reports(measurement: Measurement) -> dict[str, tuple[RenderableType, ...]]:
    shipment = sample.shipment()
    assert shipment.verdict is not None and shipment.profile is not None
    smoke = Smoke(
        schema=1,
        edgedeploy="0.1.0",
        taken_at="2026-01-01T00:00:00+00:00",
        device="ssh://pi@camera-17.example.com:2222",
        passed=False,
        lines=(
            SmokeLine(key="release", state=CheckState.FAILED, figure=f"{LONG} is damaged", hint=COMMAND),
            SmokeLine(key="disk", state=CheckState.OK, figure="2.1 GB free"),
        ),
    )
    return {
        "shipment": shipment_tables(shipment),
        "refused": shipment_tables(sample.refused()),
        "throttled": shipment_tables(sample.throttled()),
        "evidence": (evidence_table(shipment.evidence),),
        "measurement": measurement_tables(measurement),
        "verdict": (verdict_table(shipment.verdict),),
        "profile": profile_tables(shipment.profile),
        "smoke": smoke_screen(smoke),
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_every_word_of_every_report_is_whole(width: int, measurement: Measurement) -> None:
    for name, parts in reports(measurement).items():
        words = Counter(printed(10_000, *parts).split())
        narrow = Counter(printed(width, *parts).split())
        # Rules of tables are as wide as the table, and where a table becomes blocks, there are none.
        lost = {word for word in words - narrow if not set(word) <= set("─━╶╴…")}
        assert not lost, name


@pytest.mark.parametrize("width", WIDTHS)
def test_a_command_is_on_one_line(width: int, measurement: Measurement) -> None:
    table = Table(box=None, show_header=False)
    table.add_row("✗", "a key", f"there is none → {COMMAND}; then try again")
    text = printed(width, *reports(measurement)["smoke"], table, f"no releases on it: {COMMAND}", Text(COMMAND))
    assert sum(COMMAND in line for line in text.splitlines()) == 4


@pytest.mark.parametrize("width", [40, 80])
def test_what_can_be_broken_is(width: int) -> None:
    table = Table(box=None)
    for heading in ("name", "what it is", "why"):
        table.add_column(heading)
    table.add_row("release-1", "word " * 40, "reason " * 40)
    lines = printed(width, table, "word " * 100).splitlines()
    assert max(map(len, lines)) <= width


def test_rows_that_do_not_fit_beside_each_other_become_blocks() -> None:
    table = Table(box=None, title="the title of it", title_justify="left")
    for heading in ("model", "release", "path", "note"):
        table.add_column(heading)
    table.add_row("text-direction", "2.0-0123456789ab", LONG, "")
    assert [line.split() for line in printed(40, table).splitlines()] == [
        ["the", "title", "of", "it"],
        ["model", "text-direction"],
        ["release", "2.0-0123456789ab"],
        ["path", LONG],
        [],
    ]


def test_what_a_device_says_is_still_made_printable() -> None:
    assert printed(80, "a\x1b[31mb", Text("\x9b1m")).split() == ["a�[31mb", "�1m"]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=8),
    st.integers(0, 200),
)
def test_columns_fit(sizes: list[tuple[int, int]], available: int) -> None:
    longest = [min(pair) for pair in sizes]
    widest = [max(pair) for pair in sizes]
    widths = fit(longest, widest, available)
    assert all(least <= width <= most for least, width, most in zip(longest, widths, widest, strict=True))
    assert sum(widths) <= max(available, sum(longest))
    if sum(widest) <= available:
        assert widths == widest


@pytest.mark.parametrize("width", range(30, 70))
def test_a_column_that_is_not_to_be_broken_is_in_one_piece(width: int) -> None:
    table = Table(box=None)
    table.add_column("limit")
    table.add_column("outcome", no_wrap=True)
    table.add_column("why")
    table.add_row("model.sha256", "✗ breaks", "/a/path/to/the/model.onnx does not exist")
    assert "✗ breaks" in printed(width, table)
