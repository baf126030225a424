"""Checks measurements against a contract or a baseline."""
