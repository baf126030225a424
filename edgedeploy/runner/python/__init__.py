"""The runner in Python, and an engine for each runtime."""
