"""What was guessed for a contract, in the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from edgedeploy.values.guess import Guess


def guesses_table(guesses: tuple[Guess, ...]) -> Table:
    """A line for each guess, with its reason."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for guess in guesses:
        table.add_row(guess.key, Text.assemble(guess.value, (f"\n{guess.reason}", "dim")))
    return table
