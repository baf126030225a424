"""Heads: what turns a model's raw outputs into boxes, masks, points and text. One module a kind, in `kinds`."""
