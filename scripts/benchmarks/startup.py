"""Time `edgedeploy --help` against `python -c "import click"`, in turns, in one run.

Usage: scripts/bench startup [--runs 30]        Exits 1 when the median of the ratios is above 2.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

_LIMIT = 2.0


def seconds(command: Sequence[str]) -> float:
    """Wall-clock of one whole process."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench startup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=30, metavar="N", help="of each command (30)")
    runs = parser.parse_args().runs
    if runs < 1:
        parser.error("--runs: at least one is needed")
    commands = {
        "edgedeploy --help": [str(Path(sys.executable).with_name("edgedeploy")), "--help"],
        'python -c "import click"': [sys.executable, "-c", "import click"],
    }
    for command in commands.values():  # bytecode written, files in the page cache
        seconds(command)
    ours, click = zip(*([seconds(command) for command in commands.values()] for _ in range(runs)), strict=True)
    ratio = statistics.median(a / b for a, b in zip(ours, click, strict=True))
    table = Table(title=f"{runs} runs each, in turns; median (min to max)")
    table.add_column("command")
    table.add_column("wall-clock", justify="right")
    for name, samples in zip(commands, (ours, click), strict=True):
        middle, least, most = (1000 * f(samples) for f in (statistics.median, min, max))
        table.add_row(name, f"{middle:.0f} ms ({least:.0f} to {most:.0f})")
    table.add_row("ratio, median of the pairs", f"{ratio:.2f} (at most {_LIMIT:g} is wanted)")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    sys.exit(ratio > _LIMIT)


if __name__ == "__main__":
    main()
