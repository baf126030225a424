"""Bundles, the artifact for one model on one target: manifest, archive file, signature."""
