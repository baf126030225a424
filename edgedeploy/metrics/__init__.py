"""Accuracy: metrics against labels, agreement with a reference, regressions, comparison of two models."""
