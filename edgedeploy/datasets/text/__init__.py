"""Texts: rows of JSON lines to tokens."""
