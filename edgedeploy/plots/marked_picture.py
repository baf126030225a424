"""Draws boxes and points on a picture, as inline SVG in the colors of the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgedeploy.plots.png import data_address
from edgedeploy.values.sample_preview import ShownAnswer

_SIDE = 240
"""Width of the drawing, in units of its own."""
ANSWER_STYLES = ("labeled", "before", "after")
"""Classes of the page's style, by the place of an answer: the label, the float model, the optimized one."""


def marked_picture(picture: bytes, shape: tuple[int, int], answers: Sequence[ShownAnswer], title: str) -> str:
    """Return a picture with all objects of some answers on it, each answer in a stroke of its own.

    Args:
        picture: as PNG.
        shape: its height and width, in any unit.
        answers: the label first.
        title: what it shows, for those who do not see it.
    """
    height = _SIDE * shape[0] / shape[1]
    marks = [f'<image href="{data_address(picture)}" width="{_SIDE}" height="{height:.0f}"/>']
    for answer, kind in zip(answers, ANSWER_STYLES, strict=False):
        for one in answer.objects:
            left, top, right, bottom = (
                value * extent for value, extent in zip(one.box, (_SIDE, height, _SIDE, height), strict=True)
            )
            marks.append(
                f'<rect class="box {kind}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}"><title>{escape(f"{answer.whose}: {one.name}")}</title></rect>'
            )
            marks += [
                f'<circle class="point {kind}" cx="{x * _SIDE:.1f}" cy="{y * height:.1f}" r="2"/>'
                for x, y in one.points
            ]
    return (
        f'<svg class="marked" viewBox="0 0 {_SIDE} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(marks)}</svg>"
    )
