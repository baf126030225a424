"""A search's trials as a picture: size against what it cost, the front joined by a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edgedeploy.plots.timeline import nice_ticks
from edgedeploy.values.search import Search, Trial

_WIDTH, _HEIGHT = 860, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 250, 48, 64
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_WORTH_SHOWING = 10.0
_MOST_NAMES = 14
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


@dataclass(frozen=True)
class _Scales:
    """Where sizes and losses lie in the picture."""

    right: float
    """The largest size, relative to the model's."""
    low: float
    top: float
    """The least and the largest loss that are drawn."""

    def x(self, size: float) -> float:
        return _LEFT + _PLOT_WIDTH * size / self.right

    def y(self, loss: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - (min(loss, self.top) - self.low) / (self.top - self.low))


def front_svg(search: Search) -> str:
    """Draw a search's trials as an SVG document: size against loss.

    Across is the size relative to the model's; up is the loss in points, or the answers changed in per cent. Trials on
    the front are discs, others rings, those over the budget in another colour; the chosen one has a second ring.
    """
    trials = [trial for trial in search.trials if trial.size_bytes is not None]
    on_front = [trial for trial in trials if trial.name in search.front]
    scales = _scales(trials, search)
    parts = [
        *_head(trials, search),
        *_axes(trials, scales),
        # Those of the front last, so that none hides them.
        *(_disc(trial, search, scales) for trial in sorted(trials, key=lambda trial: trial in on_front)),
        *_legend(on_front, search),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _scales(trials: Sequence[Trial], search: Search) -> _Scales:
    losses = [_loss(trial) for trial in trials]
    return _Scales(
        right=max([1.0, *(_size(trial, search) for trial in trials)]),
        low=1.1 * min([0.0, *losses]),
        # One that is ruined would press all others into a line at the bottom: it is drawn at the top edge.
        top=1.1 * max([1.0, *(loss for loss in losses if loss <= _WORTH_SHOWING)]),
    )


def _head(trials: Sequence[Trial], search: Search) -> list[str]:
    chosen = f"; chosen: {escape(search.chosen)}" if search.chosen else ""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Size against loss of {len(trials)} results"><style>{_STYLE}</style>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text x="{_LEFT}" y="26">{len(trials)} results, objective {escape(search.objective)}{chosen}</text>',
    ]


def _axes(trials: Sequence[Trial], scales: _Scales) -> list[str]:
    parts = []
    for value in nice_ticks(0.0, scales.right):
        at, base = scales.x(value), _HEIGHT - _BOTTOM
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{base}"/>')
        parts.append(f'<text class="quiet" x="{at:.1f}" y="{base + 20}" text-anchor="middle">{value:.0%}</text>')
    for value in nice_ticks(scales.low, scales.top):
        at = scales.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{_LEFT + _PLOT_WIDTH}" y2="{at:.1f}"/>')
        parts.append(f'<text class="quiet" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    is_labelled = any(trial.change is not None for trial in trials)
    lost = "metric lost, in points" if is_labelled else "answers changed, in %"
    middle_x, middle_y = _LEFT + _PLOT_WIDTH / 2, _TOP + _PLOT_HEIGHT / 2
    size = "size, of the model as it came"
    return [
        *parts,
        f'<text class="quiet" x="{middle_x}" y="{_HEIGHT - 18}" text-anchor="middle">{size}</text>',
        f'<text class="quiet" transform="translate(24 {middle_y}) rotate(-90)" text-anchor="middle">{lost}</text>',
    ]


def _disc(trial: Trial, search: Search, scales: _Scales) -> str:
    x, y = scales.x(_size(trial, search)), scales.y(_loss(trial))
    is_on_front = trial.name in search.front
    kind = "over" if trial.over_budget is not None else "front" if is_on_front else "within"
    title = escape(f"{trial.name}: {trial.size_bytes:,} bytes, {_loss(trial):.2f}")
    disc = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{title}</title></circle>'
    if trial.name != search.chosen:
        return disc
    return f'{disc}\n<circle class="chosen" cx="{x:.1f}" cy="{y:.1f}" r="10"/>'


def _legend(on_front: Sequence[Trial], search: Search) -> list[str]:
    x = _WIDTH - _RIGHT + 24
    parts = [
        f'<text class="quiet" x="{x}" y="{_TOP + 8}">no other is better at once in size,</text>',
        f'<text class="quiet" x="{x}" y="{_TOP + 26}">accuracy and speed:</text>',
    ]
    for row, trial in enumerate(on_front[:_MOST_NAMES], start=3):
        name = trial.name if len(trial.name) <= 30 else f"{trial.name[:29]}…"
        share = f"{_size(trial, search):.0%}"
        parts.append(f'<text class="quiet" x="{x}" y="{_TOP + 20 * row}">{escape(name)} ({share})</text>')
    return parts


def _size(trial: Trial, search: Search) -> float:
    return (trial.size_bytes or 0) / search.source_size_bytes


def _loss(trial: Trial) -> float:
    """In points of the metric, or in per cent of the answers."""
    return 100 * trial.loss
