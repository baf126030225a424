"""Which samples and classes broke, in the terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.regressions import HEAD, Breakage, broken_in_words, changed_classes, class_row


def breakage_parts(breakage: Breakage) -> tuple[RenderableType, ...]:
    """The samples in a line, then a table of the classes whose answers changed; nothing where nothing broke."""
    parts: list[RenderableType] = []
    between = f"from {breakage.before} to {breakage.after}"
    if breakage.broken.count:
        parts.append(Text(f"worse answered {between}: {broken_in_words(breakage.broken)}"))
    if breakage.classes is not None and (changed := changed_classes(breakage.classes)):
        # Not the table's title, which would be broken to the width of the table.
        parts.append(Text(f"worst of {breakage.classes.count:,} classes, {between}", style="dim"))
        table = Table(box=None, pad_edge=False)
        for name in HEAD:
            table.add_column(name, justify="right")
        for one in changed:
            table.add_row(*class_row(one))
        parts.append(table)
    return tuple(parts)
