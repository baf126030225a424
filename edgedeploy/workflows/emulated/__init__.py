"""Runs models on emulated boards for `optimize`, and counts their instructions."""
