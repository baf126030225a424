"""The tables of scripts/bench backends, in the terminal and as docs/bench_backends.md."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.targets.backends import backend_names
from edgedeploy.targets.load import load_target

_REASON_LENGTH = 240
_ONE_CORE = ("native",)
"""Backends whose programs compute on one core only."""
_NEAR = 1.5
"""Times the least work: what lies below is no reason to have two runtimes on a board."""


class BackendRow(Struct, frozen=True, kw_only=True):
    """One model on one backend on one board."""

    model: str
    backend: str
    board: str
    made_from: str = ""
    reason: str = ""
    """Why the backend cannot; empty when it can."""
    failure: str = ""
    """What went wrong while it was measured; empty when nothing did."""
    bundle_bytes: int | None = None
    sent_first_bytes: int | None = None
    """Of another model of the backend, on a board that has nothing."""
    sent_bytes: int | None = None
    """Of this one, after that."""
    start_instructions: int | None = None
    """From nothing to the first answer."""
    peak_rss_bytes: int | None = None
    instructions: int | None = None
    """Of an inference, one thread."""
    samples: int = 0
    top1_match: float | None = None
    sqnr_db: float | None = None
    """None where all outputs are equal."""
    agrees: bool = False


BackendRows = dict[tuple[str, str, str], BackendRow]
"""By board, model and backend."""

_HEADINGS = ("backend", "agrees", "bundle", "sent second", "cold start", "peak memory", "an inference")


def cells(row: BackendRow) -> tuple[str, ...]:
    """A row's figures in words, under the headings; of a refusal the reason alone."""
    if row.reason or row.failure:
        return (row.backend, f"refused: {row.reason[:_REASON_LENGTH]}" if row.reason else f"failed: {row.failure}")
    sqnr = "equal" if row.sqnr_db is None else f"{row.sqnr_db:.0f} dB"
    return (
        row.backend,
        f"{'✓' if row.agrees else '✗'} {sqnr}",
        bytes_in_words(row.bundle_bytes or 0),
        bytes_in_words(row.sent_bytes or 0),
        _millions(row.start_instructions),
        bytes_in_words(row.peak_rss_bytes) if row.peak_rss_bytes else "–",
        _millions(row.instructions),
    )


def _millions(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:,.4g} M"


def print_tables(rows: BackendRows) -> None:
    """One table for each board, in the terminal."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    for board in _boards(rows):
        table = Table(title=board)
        for heading in ("model", *_HEADINGS):
            table.add_column(heading)
        for row in _of(rows, board):
            table.add_row(row.model, *cells(row))
        console.print(table)
        console.print(*map(str, order(rows, board)), sep="\n")


class BackendRank(Struct, frozen=True):
    """A backend among the others on one board; ratios are geometric means over models, against the least of each."""

    backend: str
    work: float
    """Of an inference's instructions."""
    start: float
    """Of a cold start's."""
    models: int
    """How many it runs and agrees on."""

    def __str__(self) -> str:
        models = "1 model" if self.models == 1 else f"{self.models} models"
        return (
            f"{self.backend}: an inference {self.work:.2f} times the least, a start {self.start:.1f} times ({models})"
        )


def order(rows: BackendRows, board: str) -> list[BackendRank]:
    """The backends, best first. Those whose work is near the least stand before others, and among them those that run
    most of the models, so that they share one runtime on the board; then the least work, in steps of a tenth; then the
    least of a cold start. The work of a program that computes on one core counts for each of the board's."""
    good = [row for row in rows.values() if row.board == board and row.agrees]
    found = []
    for backend in dict.fromkeys(row.backend for row in good):
        own = [row for row in good if row.backend == backend]
        work = _mean([_ratio(row.instructions, [o.instructions for o in good if o.model == row.model]) for row in own])
        start = _mean(
            [
                _ratio(row.start_instructions, [o.start_instructions for o in good if o.model == row.model])
                for row in own
            ]
        )
        found.append(BackendRank(backend, work, start, len(own)))
    cores = load_target(board).cpu.cores

    def key(place: BackendRank) -> tuple[bool, int, float, float]:
        work = place.work * (cores if place.backend in _ONE_CORE else 1)
        return work > _NEAR, -place.models, round(work, 1), place.start

    return sorted(found, key=key)


def _ratio(own: int | None, all_of_them: Sequence[int | None]) -> float:
    known = [count for count in all_of_them if count]
    return own / min(known) if own and known else 1.0


def _mean(ratios: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, ratios)))


def document(rows: BackendRows, command: str, floors_db: Mapping[str, float]) -> str:
    """docs/bench_backends.md."""
    lines = [
        "# Every backend on emulated boards",
        "",
        "Made by:",
        "",
        f"    {command}",
        "",
        "The boards are emulated in QEMU, with one core and a clock that counts instructions",
        "([speed.md](speed.md)). The figures are work, not time. Models and data are those of",
        "`scripts/wild/models.py`. All except squeezenet are trained. mobilenet-v2 takes pictures of 224 by 224",
        "and has random weights with a fixed seed (`scripts/wild/mobilenet.py`). `-int8` marks a model after that",
        "recipe.",
        "",
        "- **agrees**: SQNR of the outputs against the model on the host in exact arithmetic, on the same",
        f"  samples. ✓ means at least {floors_db['float']:.0f} dB, or {floors_db['integer']:.0f} dB "
        "for models in 8 bits, whose integer kernels round once more.",
        "- **bundle**: the size of all files. **sent second**: the bytes sent, before compression, if the board",
        "  already has another model with that backend.",
        "- **cold start**: from the start of the runner to the first answer, with the files already in memory.",
        "- **peak memory**: largest resident set of the runner, with one thread.",
        "- **an inference**: median of five, with one thread.",
        "",
    ]
    for board in _boards(rows):
        target = load_target(board)
        core = target.emulation.cpu if target.emulation else target.cpu.core
        lines += [f"## {board} ({target.architecture}, {core})", ""]
        lines += ["| model | " + " | ".join(_HEADINGS) + " |", "|---|---|---|" + "---:|" * (len(_HEADINGS) - 2)]
        for row in _of(rows, board):
            shown = cells(row)
            shown = ((shown[0], f"{shown[1]}") if row.reason else shown) + ("",) * (len(_HEADINGS) - len(shown))
            lines.append(f"| {row.model} | " + " | ".join(text.replace("|", "\\|") for text in shown) + " |")
        lines += ["", *_summary(rows, board), ""]
    lines += [
        "`--backend auto` tries the backends of a target in the order of its file, `targets/*.toml`, which is the",
        f"order above. Backends with less than {_NEAR} times the least work come first, and among them those that run",
        "most of the models, so that the models of a board share one runtime. After that, the least work decides,",
        "in steps of a tenth, and then the least work of a cold start. `native` computes on one core, so its work",
        "is multiplied by the number of cores: with four, the others can be four times as fast as their",
        "instructions suggest. If a backend refuses a model, or this machine lacks something for it, the next",
        "backend is tried.",
    ]
    return "\n".join(lines) + "\n"


def _summary(rows: BackendRows, board: str) -> list[str]:
    lines = ["In order; ratios are geometric means over models, against the least of all backends:", ""]
    lines += [f"{number}. {place}" for number, place in enumerate(order(rows, board), 1)]
    first = {row.backend: row.sent_first_bytes for row in _of(rows, board) if row.sent_first_bytes}
    if first:
        sent = ", ".join(f"{name} {bytes_in_words(count)}" for name, count in first.items())
        lines += ["", f"Sent to an empty board with the first model, a tiny one: {sent}."]
    return lines


def _boards(rows: BackendRows) -> list[str]:
    return list(dict.fromkeys(board for board, _, _ in rows))


def _of(rows: BackendRows, board: str) -> list[BackendRow]:
    # A backend that the board cannot have is no matter of the model.
    never = set(backend_names()) - set(load_target(board).backends)
    found = [row for row in rows.values() if row.board == board and row.backend not in never]
    models = list(dict.fromkeys(row.model for row in found))
    return sorted(found, key=lambda row: models.index(row.model))
