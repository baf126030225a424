"""Passes that put one operator where an exporter wrote many."""
