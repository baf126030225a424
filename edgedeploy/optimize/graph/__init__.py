"""Reads, edits and builds graphs: what passes share."""
