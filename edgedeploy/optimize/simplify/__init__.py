"""Passes that compute the same with less: folded constants, no dead nodes, a newer opset."""
