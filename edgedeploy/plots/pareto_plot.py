"""A search's trials as a picture: size against what it cost, the front joined by a line."""

from __future__ import annotations

from html import escape

from edgedeploy.plots.timeline import nice_ticks
from edgedeploy.values.search import Search, Trial

_WIDTH, _HEIGHT = 860, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 250, 48, 64
_WORTH_SHOWING = 10.0
_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1b1f24 }
.quiet { fill: #59636e; font-size: 12px }
.grid { stroke: #d1d9e0 }
.front { fill: #0a6dc2 } .within, .over { fill: none; stroke-width: 2 }
.within { stroke: #0a6dc2 } .over { stroke: #c2410c }
.chosen { fill: none; stroke: #1a7f37; stroke-width: 3 }
rect { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } rect { fill: #0d1117 }
  .front { fill: #58a6ff } .within { stroke: #58a6ff } .over { stroke: #f0883e } .chosen { stroke: #3fb950 }
}"""


def front_svg(search: Search) -> str:
    """An SVG document: across, the size relative to the model's; up, the loss in points (or answers changed, in per
    cent). Trials on the front are discs, others rings, those over the budget in another colour; the chosen one has a
    second ring around it."""
    trials = [trial for trial in search.trials if trial.size_bytes is not None]
    labelled = any(trial.change is not None for trial in trials)
    losses = [_loss(trial) for trial in trials]
    # One that is ruined would press all others into a line at the bottom: it stands at the top edge.
    top = 1.1 * max([1.0, *(loss for loss in losses if loss <= _WORTH_SHOWING)])
    low = 1.1 * min([0.0, *losses])
    right = max([1.0, *(_size(trial, search) for trial in trials)])
    plot_width, plot_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(size: float) -> float:
        return _LEFT + plot_width * size / right

    def y(loss: float) -> float:
        return _TOP + plot_height * (1 - (min(loss, top) - low) / (top - low))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Size against loss of {len(trials)} results"><style>{_STYLE}</style>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text x="{_LEFT}" y="26">{len(trials)} results, objective {escape(search.objective)}'
        + (f"; chosen: {escape(search.chosen)}" if search.chosen else "")
        + "</text>",
    ]
    for value in nice_ticks(0.0, right):
        at = x(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text class="quiet" x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{value:.0%}</text>'
        )
    for value in nice_ticks(low, top):
        at = y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{_LEFT + plot_width}" y2="{at:.1f}"/>')
        parts.append(f'<text class="quiet" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts.append(
        f'<text class="quiet" x="{_LEFT + plot_width / 2}" y="{_HEIGHT - 18}" text-anchor="middle">'
        "size, of the model as it came</text>"
    )
    lost = "metric lost, in points" if labelled else "answers changed, in %"
    parts.append(
        f'<text class="quiet" transform="translate(24 {_TOP + plot_height / 2}) rotate(-90)" text-anchor="middle">'
        f"{lost}</text>"
    )
    on_front = [trial for trial in trials if trial.name in search.front]
    # Those of the front last, so that none hides them.
    for trial in sorted(trials, key=lambda one: one in on_front):
        at_x, at_y = x(_size(trial, search)), y(_loss(trial))
        kind = "over" if trial.over_budget is not None else "front" if trial in on_front else "within"
        title = escape(f"{trial.name}: {trial.size_bytes:,} bytes, {_loss(trial):.2f}")
        parts.append(f'<circle class="{kind}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="5"><title>{title}</title></circle>')
        if trial.name == search.chosen:
            parts.append(f'<circle class="chosen" cx="{at_x:.1f}" cy="{at_y:.1f}" r="10"/>')
    legend = _WIDTH - _RIGHT + 24
    parts.append(f'<text class="quiet" x="{legend}" y="{_TOP + 8}">no other is better at once in size,</text>')
    parts.append(f'<text class="quiet" x="{legend}" y="{_TOP + 26}">accuracy and speed:</text>')
    for number, trial in enumerate(on_front[:14], start=3):
        words = trial.name if len(trial.name) <= 30 else f"{trial.name[:29]}…"
        parts.append(
            f'<text class="quiet" x="{legend}" y="{_TOP + 20 * number}">{escape(words)} '
            f"({_size(trial, search):.0%})</text>"
        )
    parts.append("</svg>\n")
    return "\n".join(parts)


def _size(trial: Trial, search: Search) -> float:
    return (trial.size_bytes or 0) / search.source_size_bytes


def _loss(trial: Trial) -> float:
    """In points of the metric, or in per cent of the answers."""
    return 100 * trial.loss
