"""Finds coupled channels, and rewrites the graph without the pruned ones."""
