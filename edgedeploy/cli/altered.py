"""Say which releases on a device are not what their manifests say."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 5


def altered_lines(altered: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return a line for each release: what is wrong in its folder, and what repairs it.

    Args:
        altered: as `Listing.altered`.
    """
    lines = []
    for path, problems in sorted(altered.items()):
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        lines.append(f"{path}: {', '.join(problems[:_SHOWN])}{more} (push its bundle again)")
    return lines
