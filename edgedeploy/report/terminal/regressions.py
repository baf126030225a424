"""Which samples and classes broke, in the terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.regressions import (
    HEAD,
    Breakage,
    changed_classes,
    class_row,
    classes_in_words,
    worse_in_words,
)


def breakage_parts(breakage: Breakage) -> tuple[RenderableType, ...]:
    """Return the samples in a line and a table of the classes whose answers changed; nothing where nothing broke."""
    parts: list[RenderableType] = []
    if breakage.broken.count:
        parts.append(Text(worse_in_words(breakage)))
    if breakage.classes is not None and (changed := changed_classes(breakage.classes)):
        # Not the table's title, which would be broken to the width of the table.
        parts.append(Text(f"{classes_in_words(breakage.classes)}, {breakage.between}", style="dim"))
        table = Table(box=None, pad_edge=False)
        for name in HEAD:
            table.add_column(name, justify="right")
        for figure in changed:
            table.add_row(*class_row(figure))
        parts.append(table)
    return tuple(parts)
