from __future__ import annotations

from benchmarks.backends_report import BackendRow, BackendRows, cells, document, order


def row(model: str, backend: str, instructions: int | None = None, **changes: object) -> BackendRow:
    figures = {"instructions": instructions, "agrees": True, "samples": 8, "sqnr_db": 120.0, "top1_match": 1.0}
    return BackendRow(
        model=model, backend=backend, board="rpi4", **({**figures, **changes} if instructions else changes)
    )


def rows(*found: BackendRow) -> BackendRows:
    return {(each.board, each.model, each.backend): each for each in found}


ALL = rows(
    row("a", "slow", 400, bundle_bytes=75_000_000, sent_first_bytes=74_000_000, sent_bytes=1_000_000),
    row("a", "quick", 100),
    row("a", "rare", 50),
    row("b", "slow", 100),
    row("b", "quick", 100),
    row("b", "rare", reason="no operator for it | at all"),
    row("c", "slow", 100),
    row("c", "quick", 100, agrees=False, sqnr_db=3.0),
    row("c", "rare", failure="the board was lost"),
)


def test_backends_near_the_best_stand_in_the_order_of_what_they_run_then_of_work_and_start():
    found = order(ALL, "rpi4")
    # 400/50, 100/100 and 100/100: the cube root of 8 is not near.
    assert [(place.backend, place.models) for place in found] == [("quick", 2), ("rare", 1), ("slow", 3)]
    assert abs(found[2].work - 2.0) < 1e-9
    assert abs(found[0].work - 2**0.5) < 1e-9
    assert order(ALL, "rpi2") == []
    near = rows(row("a", "x", 1000, start_instructions=900), row("a", "y", 1030, start_instructions=300))
    assert [place.backend for place in order(near, "rpi4")] == ["y", "x"]
    assert str(order(near, "rpi4")[1]) == "x: an inference 1.00 times the least, a start 3.0 times (1 model)"
    single = rows(row("a", "native", 1000), row("a", "y", 1300))
    assert [place.backend for place in order(single, "rpi4")] == ["y", "native"]


def test_a_row_has_figures_or_a_reason():
    assert cells(ALL["rpi4", "a", "slow"])[1:4] == ("✓ 120 dB", "75 MB", "1 MB")
    assert cells(ALL["rpi4", "c", "quick"])[1] == "✗ 3 dB"
    assert cells(ALL["rpi4", "b", "rare"]) == ("rare", "refused: no operator for it | at all")
    assert cells(ALL["rpi4", "c", "rare"]) == ("rare", "failed: the board was lost")


def test_the_page():
    page = document(ALL, "scripts/bench backends", {"float": 60.0, "integer": 20.0})
    lines = page.splitlines()
    assert "## rpi4 (aarch64, cortex-a72)" in lines
    assert "| b | rare | refused: no operator for it \\| at all |  |  |  |  |  |" in lines
    assert "3. slow: an inference 2.00 times the least, a start 1.0 times (3 models)" in lines
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 + len(ALL)
    assert {line.replace("\\|", "").count("|") for line in tables} == {9}
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120
