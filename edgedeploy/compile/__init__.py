"""Builds a model into a bundle for a target."""
