"""Passes that prune channels or single weights, with ranking and reconstruction."""
