"""A rich console that passes no words on which a terminal would obey."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from edgedeploy.foundation.sanitize import printable_lines


class PrintableConsole(Console):
    """What is printed may have come from a device or from somebody's file. Colours are not part of the words."""

    def __init__(self, **settings: Any) -> None:
        # rich takes NO_COLOR for colours alone; https://no-color.org asks for no escape sequences that add any look.
        if os.environ.get("NO_COLOR"):
            settings["color_system"] = None
        super().__init__(**settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)
