"""Passes that simplify a graph without changing its results: constant folding, dead code, opset upgrade."""
