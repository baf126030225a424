"""Draws plots as SVG, by hand: a plotting library would be the heaviest dependency, for four pictures."""
