"""Text that only the page needs: line breaks, times and addresses."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


def breakable(key: str) -> Markup:
    """Return a dotted key that may be broken after a dot or an underscore, and nowhere else."""
    from markupsafe import Markup, escape

    text = str(escape(key))
    return Markup(text.replace("_", "_<wbr>").replace(".", ".<wbr>"))  # noqa: S704 (escaped above)


def time_in_words(taken_at: str) -> str:
    """`"2026-01-31 09:05 UTC"`; what is no time in ISO 8601 stays as it is."""
    try:
        moment = datetime.fromisoformat(taken_at)
    except ValueError:
        return taken_at
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def svg_address(svg: str) -> str:
    """Return an SVG as a `data:` address: as an image it has its own styles, which do not meet the page's."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}"
