"""Fetches what bundles are built from: wheels for a board's Python, Debian's NumPy, the Zig compiler."""
