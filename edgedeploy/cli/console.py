"""A rich console that passes no words on which a terminal would obey."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment

from edgedeploy.cli.whole_words import laid_out, without_held_spaces
from edgedeploy.foundation.sanitize import printable_lines

_WIDEST = 100_000


class PrintableConsole(Console):
    """What is printed may have come from a device or from somebody's file. Colours are not part of the words."""

    def __init__(self, **settings: Any) -> None:
        # rich takes NO_COLOR for colours alone; https://no-color.org asks for no escape sequences that add any look.
        if os.environ.get("NO_COLOR"):
            settings["color_system"] = None
        super().__init__(**settings)

    def print_whole(self, renderable: RenderableType) -> None:
        """Print text or a table without breaking a name or a command in two: see `whole_words`."""
        for part in laid_out(renderable, self):
            width = self.width
            # Where a word is wider than the console, the line is as wide as the word.
            self.width = max(width, Measurement.get(self, self.options.update(width=_WIDEST), part).minimum)
            self.print(part, crop=False, soft_wrap=False)
            self.width = width

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable_lines(without_held_spaces(segment.text)), segment.style)
