"""The artifact for one model on one target: its manifest, its archive file, its signature."""
