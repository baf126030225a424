"""Reports: content (shared by all formats), exports (one module per file format), terminal."""
