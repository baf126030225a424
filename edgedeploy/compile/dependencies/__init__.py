"""What bundles are made from: wheels for a board's Python, Debian's NumPy, the Zig compiler."""
